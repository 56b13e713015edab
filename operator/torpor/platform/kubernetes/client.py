"""The Kubernetes API in verbs, speaking dicts: what the running roles need of it and no more.

A thin layer over aiohttp costs a third of the CPU of the generated clients. Every method may
raise an ApiError of `torpor.errors`; what is safe to repeat has been repeated by then.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from torpor import errors
from torpor.platform.base import Scale
from torpor.platform.kubernetes.resources import Resource
from torpor.platform.kubernetes.transport import Body, Call, Transport, error_class

CHUNK = 500
WATCH_SECONDS = 300
INACTIVITY_SECONDS = 90.0
"""A server sends a bookmark about once a minute, so a longer silence means a dead connection."""

_METADATA = "application/json;as={};g=meta.k8s.io;v=v1"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects to list or watch. An empty namespace means all of them.

    `metadata_only` asks the server for `PartialObjectMetadata`: no spec, no status.
    """

    resource: Resource
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    metadata_only: bool = False

    def _params(self) -> dict[str, str]:
        named = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in named.items() if value}

    def _accept(self, kind: str) -> str:
        return _METADATA.format(kind) if self.metadata_only else "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the objects of a list, and the resourceVersion of the whole list."""

    items: list[Body]
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK (only a resourceVersion)."""

    type: str
    object: Body


class KubernetesApi:
    """One API server. Close it by closing its transport (`connect` does)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, resource: Resource, namespace: str, name: str) -> Body:
        """Return the object; ApiNotFound if there is none."""
        return await self._transport.send(Call("get", "GET", resource.path(namespace, name)))

    async def discover(self, api_version: str, kind: str) -> Resource:
        """Return how the API addresses a kind; ApiNotFound if it has none of that name."""
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        answer = await self._transport.send(Call("discover", "GET", path))
        for found in answer.get("resources") or ():
            if found["kind"] == kind and "/" not in found["name"]:
                return Resource(group, version, found["name"], kind, bool(found["namespaced"]))
        raise errors.ApiNotFound(404, "NotFound", f"{api_version} has no kind {kind}")

    async def pages(self, selection: Selection, chunk: int = CHUNK) -> AsyncGenerator[Page]:
        """Yield a list in pages of `chunk` objects (0: all at once), as of one moment.

        Raises ApiGone when reading took so long that the server forgot that moment.
        """
        params = selection._params()
        if chunk:
            params["limit"] = str(chunk)
        path = selection.resource.path(selection.namespace)
        accept = selection._accept("PartialObjectMetadataList")
        while True:
            answer = await self._transport.send(Call("list", "GET", path, params, accept=accept))
            meta = answer.get("metadata") or {}
            yield Page(answer.get("items") or [], str(meta.get("resourceVersion", "")))
            if not meta.get("continue"):
                return
            params = {**params, "continue": meta["continue"]}

    async def list(self, selection: Selection) -> Page:
        """Return all objects at once."""
        try:
            return await self._collect(selection, CHUNK)
        except errors.ApiGone:
            return await self._collect(selection, 0)

    async def _collect(self, selection: Selection, chunk: int) -> Page:
        items: list[Body] = []
        version = ""
        async for page in self.pages(selection, chunk):
            items += page.items
            version = page.resource_version
        return Page(items, version)

    async def watch(
        self,
        selection: Selection,
        resource_version: str,
        *,
        server_seconds: int = WATCH_SECONDS,
        inactivity_seconds: float = INACTIVITY_SECONDS,
    ) -> AsyncGenerator[WatchEvent]:
        """Yield what happens after `resource_version`; ends when the server's time is over.

        Raises ApiGone when the version is too old, ApiUnavailable when the connection broke or
        was silent for too long (going on from the last version is right), and ApiError when the
        stream told of an error (listing again is right). Never repeated by itself.
        """
        params = {
            **selection._params(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(server_seconds),
        }
        path = selection.resource.path(selection.namespace)
        accept = selection._accept("PartialObjectMetadata")
        call = Call("watch", "GET", path, params, accept=accept)
        async with aclosing(self._transport.lines(call, inactivity_seconds)) as lines:
            async for line in lines:
                if line:
                    yield _event(line)

    async def create(self, resource: Resource, namespace: str, body: Body) -> Body:
        """Make the object and return it; ApiConflict if it exists.

        Repeated only when it certainly did not happen.
        """
        call = Call("create", "POST", resource.path(namespace), body=body, repeatable=False)
        return await self._transport.send(call)

    async def apply(self, resource: Resource, body: Body, *, manager: str) -> Body:
        """Server-side apply `body` (metadata.name and .namespace say where), taking conflicts over.

        Fields of other managers stay; fields this manager no longer sends are removed. An apply
        that changes nothing keeps the resourceVersion.
        """
        return await self._apply(resource, body, manager, "")

    async def apply_yielding(self, resource: Resource, body: Body, *, manager: str) -> Body:
        """Server-side apply `body`; ApiConflict if it differs from what another manager owns."""
        return await self._apply(resource, body, manager, "", force="false")

    async def apply_status(self, resource: Resource, body: Body, *, manager: str) -> Body:
        """Server-side apply `body["status"]` through the subresource."""
        return await self._apply(resource, body, manager, "status")

    async def _apply(
        self, resource: Resource, body: Body, manager: str, subresource: str, force: str = "true"
    ) -> Body:
        meta = body["metadata"]
        path = resource.path(meta.get("namespace", ""), meta["name"], subresource)
        full = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        params = {"fieldManager": manager, "force": force}
        verb = "apply_status" if subresource else "apply"
        return await self._transport.send(Call(verb, "PATCH", path, params, full, _APPLY))

    async def patch(
        self, resource: Resource, namespace: str, name: str, body: Body, *, manager: str
    ) -> Body:
        """Merge `body` into the object (RFC 7396).

        With `metadata.resourceVersion` in it: ApiConflict if anything changed since.
        """
        path = resource.path(namespace, name)
        params = {"fieldManager": manager}
        return await self._transport.send(Call("patch", "PATCH", path, params, body, _MERGE))

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Delete the object and what it owns; ApiNotFound if there is none, ApiConflict if another.

        `uid` says which object of that name is meant.
        """
        body: Body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        path = resource.path(namespace, name)
        await self._transport.send(Call("delete", "DELETE", path, body=body))

    async def get_scale(self, resource: Resource, namespace: str, name: str) -> Scale:
        """Return the replicas asked for; ApiNotFound if the object does not exist."""
        path = resource.path(namespace, name, "scale")
        return _scale(await self._transport.send(Call("get_scale", "GET", path)))

    async def set_scale(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        replicas: int,
        *,
        manager: str,
        version: str | None = None,
    ) -> Scale:
        """Ask for `replicas`; with `version`, ApiConflict if the object changed since.

        A change whose answer got lost is repeated, so a conflict may be with oneself: read again.
        """
        body: Body = {"spec": {"replicas": replicas}}
        if version is not None:
            body["metadata"] = {"resourceVersion": version}
        path = resource.path(namespace, name, "scale")
        params = {"fieldManager": manager}
        call = Call("set_scale", "PATCH", path, params, body, _MERGE)
        return _scale(await self._transport.send(call))


def _scale(body: Mapping[str, Any]) -> Scale:
    # The API leaves `replicas` out when it is 0.
    return Scale(int(body["spec"].get("replicas", 0)), body["metadata"]["resourceVersion"])


def _event(line: bytes) -> WatchEvent:
    try:
        told = json.loads(line)
    except ValueError as error:
        text = f"a watch sent a line that is no JSON: {line[:80]!r}"
        raise errors.ApiUnavailable(0, "Garbled", text) from error
    if told["type"] != "ERROR":
        return WatchEvent(told["type"], told["object"])
    status = told["object"]
    code = int(status.get("code") or 500)
    # Not ApiUnavailable: the server spoke, and what it lost cannot be asked for again.
    kind = errors.ApiGone if error_class(code) is errors.ApiGone else errors.ApiError
    raise kind(code, str(status.get("reason", "")), str(status.get("message", "")))
