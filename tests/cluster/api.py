"""The test cluster's API: objects in and out as JSON, and watches that were open before.

It shares only the kubeconfig reader and the paths of resources with the product, so that a bug
in the product's client cannot hide itself. Nothing here is retried.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from torpor.platform.kubernetes import config
from torpor.platform.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    FUNCTIONS,
    NAMESPACES,
    PODS,
    SECRETS,
    TRIGGERS,
    WORKFLOWS,
    Resource,
)

Json = dict[str, Any]
T = TypeVar("T")

MANAGER = "torpor-tests"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_KINDS = (
    CONFIG_MAPS,
    DEPLOYMENTS,
    FUNCTIONS,
    NAMESPACES,
    PODS,
    SECRETS,
    TRIGGERS,
    WORKFLOWS,
)
_RESOURCES = {item.kind: item for item in _KINDS}


class Refused(AssertionError):
    """The API server said no."""

    def __init__(self, status: int, what: str, text: str) -> None:
        super().__init__(f"{what}: {status}: {text[:500]}")
        self.status = status


class Api:
    """One session with the API server; an async context manager."""

    def __init__(self, kubeconfig: str) -> None:
        self._access = config.from_kubeconfig(kubeconfig)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._access.tls or True, limit=0)
        self._session = aiohttp.ClientSession(self._access.server, connector=connector)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await asyncio.sleep(0.05)  # aiohttp closes TLS transports in the background

    async def text(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = "application/json",
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Return the answer's text; Refused for anything but a success. `more` headers go along."""
        headers = {
            **self._access.credentials.headers(),
            "Content-Type": content_type,
            **(more or {}),
        }
        data = None if body is None else json.dumps(body)
        timeout = aiohttp.ClientTimeout(total=60)
        async with self._session.request(
            method, path, data=data, headers=headers, timeout=timeout
        ) as answer:
            text = await answer.text()
            if answer.status >= 300:
                raise Refused(answer.status, f"{method} {path}", text)
            return text

    async def get(self, path: str) -> Json:
        """Return an object."""
        return json.loads(await self.text("GET", path))  # type: ignore[no-any-return]

    async def find(self, path: str) -> Json | None:
        """Return an object, or None if there is none."""
        try:
            return await self.get(path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    async def items(self, resource: Resource, namespace: str, labels: str = "") -> list[Json]:
        """Return the objects of a namespace ("": of all) that carry the labels."""
        query = f"?labelSelector={labels.replace('=', '%3D')}" if labels else ""
        found = await self.get(resource.path(namespace) + query)
        return list(found["items"])

    async def apply(self, obj: Json) -> Json:
        """Server-side apply an object of one of the kinds that tests make."""
        meta = obj["metadata"]
        path = _RESOURCES[obj["kind"]].path(meta.get("namespace", ""), meta["name"])
        query = f"?fieldManager={MANAGER}&force=true"
        return json.loads(await self.text("PATCH", path + query, obj, APPLY))  # type: ignore[no-any-return]

    async def merge(self, path: str, body: Json) -> None:
        """Merge-patch an object or a subresource."""
        await self.text("PATCH", path, body, MERGE)

    async def delete(self, path: str, grace_seconds: int | None = None) -> None:
        """Delete an object; with 0 seconds of grace its process is killed."""
        options: Json = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        await self.text("DELETE", path, options)

    async def watch(self, path: str, query: str = "") -> AsyncIterator[tuple[str, Json]]:
        """Yield (type, object) of what exists and what happens, until it is closed."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        headers = self._access.credentials.headers()
        url = f"{path}?watch=1&{query}"
        async with self._session.get(url, headers=headers, timeout=timeout) as answer:
            async for line in answer.content:
                event = json.loads(line)
                yield event["type"], event["object"]


async def until(
    what: str, check: Callable[[], Awaitable[T | None]], within: float, every: float = 0.25
) -> T:
    """Return what `check` found once it is not None; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        found = await check()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        await asyncio.sleep(every)


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Return a condition of an object's status; empty if it has none of that type."""
    conditions = obj.get("status", {}).get("conditions", ())
    return next((item for item in conditions if item["type"] == kind), {})
