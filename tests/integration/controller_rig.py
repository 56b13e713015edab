"""The whole controller over a fake API server that Kopf, too, takes for a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.fake_api import FakeApi
from tests.support.platform_rig import Anonymous
from torpor.controller import Controller
from torpor.platform.kubernetes import Access, Limits, connect
from torpor.settings import ControllerSettings

CHILDREN = ("deployments", "services", "networkpolicies")
NAMESPACE = "torpor-system"
_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def _resource(name: str, kind: str, *, namespaced: bool = True) -> dict[str, Any]:
    return {
        "name": name,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": namespaced,
        "verbs": _VERBS,
    }


_DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [_resource("namespaces", "Namespace", namespaced=False)]},
    "/apis": {
        "groups": [
            {
                "name": "torpor.dev",
                "versions": [{"groupVersion": "torpor.dev/v1alpha1", "version": "v1alpha1"}],
                "preferredVersion": {
                    "groupVersion": "torpor.dev/v1alpha1",
                    "version": "v1alpha1",
                },
            }
        ]
    },
    "/apis/torpor.dev/v1alpha1": {
        "resources": [
            _resource("functions", "Function"),
            _resource("workflows", "Workflow"),
            _resource("triggers", "Trigger"),
        ]
    },
}


class DiscoverableApi(FakeApi):
    """A FakeApi that also says which kinds it has."""

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        found = _DISCOVERY.get(request.path)
        return web.json_response(found) if found else await super()._serve(request)

    def object_writes(self) -> int:
        """Writes but those of the Lease, which is renewed every two seconds."""
        return self.writes() - self.requests["PATCH", "leases"] - self.requests["POST", "leases"]

    def collect_orphans(self) -> None:
        """Remove children whose Function is gone, as the garbage collector does by and by.

        Between two lists after a gap, a child that vanished with its Function may be made again.
        """
        alive = {obj["metadata"]["uid"] for obj in self.all("functions")}
        for plural in CHILDREN:
            for obj in self.all(plural):
                if obj["metadata"]["ownerReferences"][0]["uid"] not in alive:
                    self.remove(plural, obj["metadata"]["namespace"], obj["metadata"]["name"])

    def ready(self) -> dict[str, str]:
        """Return the reason of Ready of every Function that has one, by name."""
        return {
            obj["metadata"]["name"]: obj["status"]["conditions"][0]["reason"]
            for obj in self.all("functions")
            if obj.get("status")
        }


class Replica:
    """One replica of the controller."""

    def __init__(
        self, fake: FakeApi, name: str, engine_url: str = "", events_url: str = ""
    ) -> None:
        self._fake = fake
        self._name = name
        self._engine_url = engine_url
        self._events_url = events_url
        self._task: asyncio.Task[None] | None = None
        self.controller: Controller | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """End it as SIGTERM does, if it did not end by itself."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def ended(self) -> BaseException | None:
        """Wait until it ended by itself; return why."""
        assert self._task is not None
        await asyncio.wait([self._task], timeout=20)
        return self._task.exception()

    async def _run(self) -> None:
        access = Access(self._fake.url, None, Anonymous())
        settings = ControllerSettings(
            namespace=NAMESPACE,
            pod_name=self._name,
            engine_url=self._engine_url,
            events_url=self._events_url,
        )
        limits = Limits(rate_per_second=10_000, burst=10_000)
        async with connect(settings, access=access, limits=limits) as api:
            self.controller = Controller(api, access, settings, b"k" * 32)
            await self.controller.run()


@asynccontextmanager
async def serving() -> AsyncIterator[DiscoverableApi]:
    fake = DiscoverableApi(collect_garbage=True)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


@asynccontextmanager
async def running(
    fake: FakeApi, name: str = "controller-a", engine_url: str = "", events_url: str = ""
) -> AsyncIterator[Replica]:
    replica = Replica(fake, name, engine_url, events_url)
    replica.start()
    try:
        yield replica
    finally:
        await replica.stop()


def function(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "torpor.dev/v1alpha1",
        "kind": "Function",
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}", "generation": 1},
        "spec": spec or {"image": "registry/app:1"},
    }
