"""An API server and a gateway on the loopback interface, with a kubeconfig that leads there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Json = dict[str, Any]
PROXY = "/api/v1/namespaces/torpor-system/services/torpor-gateway:http/proxy"
FUNCTIONS = "/apis/torpor.dev/v1alpha1"


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the gateway saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class FakeCluster:
    """What it holds is what it answers; what reached the gateway is in `received`."""

    functions: list[Json] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    pod_lists: Iterator[list[str]] | None = None
    received: list[Received] = field(default_factory=list)
    answers: Iterator[web.Response] | None = None
    objects: dict[str, Json | Callable[[], Json]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    forbidden: set[str] = field(default_factory=set)
    denied: set[tuple[str, str]] = field(default_factory=set)
    deleted: list[Json] = field(default_factory=list)
    url: str = ""

    def kubeconfig(self, folder: Path, namespace: str = "shop") -> Path:
        """Write a kubeconfig whose context has that namespace."""
        context = {"cluster": "c", "user": "u", "namespace": namespace}
        written = folder / "kubeconfig"
        written.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "fake",
                    "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                    "users": [{"name": "u", "user": {"token": "secret"}}],
                    "contexts": [{"name": "fake", "context": context}],
                }
            )
        )
        return written

    async def handle(self, request: web.Request) -> web.Response:
        """Answer as the API server or, behind its service proxy, as the gateway would."""
        path = request.raw_path
        if path.startswith(PROXY) or path.startswith("/function/"):
            return await self._gateway(request, path.removeprefix(PROXY))
        if request.headers.get("Authorization") != "Bearer secret":
            return refusal(401, "Unauthorized")
        if request.path in self.forbidden:
            return refusal(403, f"{request.path} is forbidden")
        if request.path in self.texts:
            return web.Response(text=self.texts[request.path])
        if request.path in self.objects:
            found = self.objects[request.path]
            return web.json_response(found() if callable(found) else found)
        if request.path.endswith("/selfsubjectaccessreviews"):
            return await self._may(request)
        if request.method == "DELETE":
            return await self._delete(request)
        if path.startswith(FUNCTIONS):
            return self._functions(path.removeprefix(FUNCTIONS).strip("/").split("/"))
        return self._pods(request)

    async def _gateway(self, request: web.Request, path: str) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(request.method, path, headers, await request.read()))
        return next(self.answers) if self.answers else web.Response(text="served\n")

    def _functions(self, parts: list[str]) -> web.Response:
        namespace = parts[1] if parts[0] == "namespaces" else None
        name = parts[3] if len(parts) == 4 else None
        metas = [(obj, obj["metadata"]) for obj in self.functions]
        chosen = [obj for obj, meta in metas if namespace in (None, meta["namespace"])]
        if name is None:
            return web.json_response({"items": chosen})
        found = next((obj for obj in chosen if obj["metadata"]["name"] == name), None)
        return web.json_response(found) if found else refusal(404, f"functions {name!r} not found")

    async def _may(self, request: web.Request) -> web.Response:
        asked = (await request.json())["spec"]["resourceAttributes"]
        allowed = (asked["verb"], asked["resource"]) not in self.denied
        return web.json_response({"status": {"allowed": allowed}}, status=201)

    async def _delete(self, request: web.Request) -> web.Response:
        self.deleted.append(await request.json())
        name = request.path.rpartition("/")[2]
        self.functions = [it for it in self.functions if it["metadata"]["name"] != name]
        return web.json_response({"kind": "Status", "status": "Success"})

    def _pods(self, request: web.Request) -> web.Response:
        if request.path.endswith("/log"):
            return web.Response(text=self.logs[request.path.split("/")[-2]])
        if not request.path.endswith("/pods"):
            return refusal(404, f"{request.path} not found")
        names = list(self.logs) if self.pod_lists is None else next(self.pod_lists, None)
        if names is None:
            return refusal(500, "that is all")
        return web.json_response({"items": [pod(name) for name in names]})


def pod(name: str) -> Json:
    """Return a pod whose function runs."""
    running = {"name": "function", "state": {"running": {}}}
    return {"metadata": {"name": name}, "status": {"containerStatuses": [running]}}


def refusal(status: int, message: str) -> web.Response:
    """Return the API server's way of saying no."""
    body = {"kind": "Status", "apiVersion": "v1", "code": status, "message": message}
    return web.json_response(body, status=status)


@asynccontextmanager
async def fake_cluster() -> AsyncIterator[FakeCluster]:
    """Serve an empty cluster while the block runs."""
    fake = FakeCluster()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake
