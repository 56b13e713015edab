"""Runs from end to end: a gateway with HAProxy, the controllers' share of runs, a fake API server.

What Kubernetes does to a Job is done by the test: `pod` and `end`.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.support.fake_api import FakeApi
from tests.support.fake_platform import FakePlatform, function
from tests.support.platform_rig import client_of
from tests.support.real_gateway import KEY, RealGateway, real_gateway
from torpor.functions.runs.api import RunsApi
from torpor.functions.runs.keeper import RunKeeper
from torpor.functions.runs.leader import RunLeader
from torpor.functions.runs.telling import Teller
from torpor.functions.runs.watching import RunWatch
from torpor.platform.kubernetes import KubernetesApi, Recorder
from torpor.resources.function import Function
from torpor.resources.names import LABEL_RUN, LABEL_RUN_OF, FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import ControllerSettings
from torpor.telemetry.tracing import Span

BEGAN, ENDED = "2026-01-01T00:00:10Z", "2026-01-01T00:01:10Z"
Json = dict[str, Any]


def job_function(name: str = "encode", **spec: Any) -> Function:
    """A Job Function of the namespace `shop`."""
    return function(name, workload="Job", **spec)


class Controller:
    """One replica's share of runs: it answers gateways, and leads while `leading`."""

    def __init__(
        self, api: KubernetesApi, functions: Mapping[FunctionKey, Function], progress_port: int
    ) -> None:
        self._api = api
        self._progress_port = progress_port
        self.spans: list[Span] = []
        self._leader: RunLeader | None = None
        self._leading: asyncio.Task[None] | None = None
        self.watch = RunWatch(api, "", self._changed)
        keeper = RunKeeper(
            api,
            self.watch,
            functions.get,
            ControllerSettings(runtime_images={"python3": "runtime:1"}),
            clock=time.monotonic,
            wall=lambda: datetime.now(UTC),
        )
        self.api = RunsApi(keeper, internal_token(KEY))

    def _changed(self, key: Any, old: object, new: object) -> None:
        if self._leader:
            self._leader.changed(key)

    def lead(self, session: aiohttp.ClientSession) -> None:
        """Begin to lead."""
        self._leader = RunLeader(
            self._api,
            self.watch,
            Teller(self._api, Recorder(self._api, "controller", "c"), lambda _: None),
            session,
            "",
            clock=time.monotonic,
            wall=lambda: datetime.now(UTC),
            port=self._progress_port,
            ask_seconds=0.2,
            emit=self.spans.append,
        )
        self._leading = asyncio.create_task(self._leader.run(), name="leader")

    async def retire(self) -> None:
        """Lead no longer."""
        self._leader = None
        if self._leading:
            self._leading.cancel()
            await asyncio.wait([self._leading])
            self._leading = None


@dataclass
class Rig:
    fake: FakeApi
    gateway: RealGateway
    controller: Controller
    session: aiohttp.ClientSession
    functions: dict[FunctionKey, Function]
    platform: FakePlatform

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    async def send(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, Mapping[str, str], Any]:
        """One request at the gateway; the answer's body as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = io.BytesIO(body) if body else None
        async with self.session.request(
            method, self.url + path, data=data, headers=named
        ) as answer:
            text = await answer.text()
            found = await answer.json(content_type=None) if text else None
            return answer.status, answer.headers, found

    async def start(self, body: bytes = b"{}", name: str = "encode", **headers: str) -> str:
        """Start a run; return its location."""
        status, given, told = await self.send("POST", f"/function/shop/{name}", body, **headers)
        assert status == 202, told
        assert given["Location"] == told["location"]
        return str(told["location"])

    async def run(self, location: str) -> Json:
        """What is told of the run."""
        status, _, told = await self.send("GET", location)
        assert status == 200, told
        return dict(told)

    async def told(self, location: str, **wanted: Any) -> Json:
        """Wait until that is told of the run."""
        seen: Json = {}

        async def so() -> bool:
            seen.update(await self.run(location))
            return all(seen[name] == value for name, value in wanted.items())

        await _until(so, f"{wanted} is not told of {location}")
        return seen

    def jobs(self) -> list[Json]:
        """The Jobs that there are."""
        return self.fake.all("jobs")

    def pod(self, location: str, state: Json, index: int = 0, **status: Any) -> None:
        """Show a pod of the run, as the kubelet and the scheduler do."""
        run = location.rpartition("/")[2]
        labels = {LABEL_RUN: run, LABEL_RUN_OF: "encode"}
        notes = {"batch.kubernetes.io/job-completion-index": str(index)}
        meta = {"name": f"{run}-{index}", "namespace": "shop"}
        containers = [{"name": "function", "state": state}]
        self.fake.put(
            "pods",
            {
                "apiVersion": "v1",
                "metadata": {
                    **meta,
                    "uid": f"{run}-{index}",
                    "labels": labels,
                    "annotations": notes,
                },
                "status": {"podIP": "127.0.0.1", "containerStatuses": containers, **status},
            },
        )

    def job(self, location: str, **status: Any) -> None:
        """Change the status of the run's Job, as Kubernetes' controller does."""
        obj = self.fake.find("jobs", "shop", location.rpartition("/")[2])
        assert obj is not None
        self.fake.put("jobs", {**obj, "status": status})

    def end(self, location: str, kind: str, reason: str = "", **status: Any) -> None:
        """End the Job with its condition Complete or Failed."""
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": ENDED}
        self.job(location, conditions=[condition], **status)


RUNNING: Json = {"running": {"startedAt": BEGAN}}


def terminated(code: int, message: str = "") -> Json:
    """How a container ended."""
    times = {"startedAt": BEGAN, "finishedAt": ENDED}
    return {"terminated": {"exitCode": code, "message": message, **times}}


@asynccontextmanager
async def run_rig(*functions: Function, progress_port: int = 1) -> AsyncIterator[Rig]:
    """Job Functions behind a gateway, and a controller that leads."""
    known = {item.key: item for item in functions or (job_function(),)}
    platform = FakePlatform()
    for item in known.values():
        platform.add(item)
    async with AsyncExitStack() as stack:
        fake = FakeApi()
        await fake.start()
        stack.push_async_callback(fake.stop)
        api = await stack.enter_async_context(client_of(fake))
        controller = Controller(api, known, progress_port)
        watching = asyncio.create_task(controller.watch.reflector.run(), name="watch")
        stack.push_async_callback(_cancelled, watching)
        await controller.watch.reflector.synced.wait()
        await controller.api.start("127.0.0.1", 0)
        stack.push_async_callback(controller.api.stop)
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        controller.lead(session)
        stack.push_async_callback(controller.retire)
        url = f"http://127.0.0.1:{controller.api.port}"
        gateway = await stack.enter_async_context(
            real_gateway(platform, runs_url=url, api_clients="anyone", drain_seconds=0)
        )
        rig = Rig(fake, gateway, controller, session, known, platform)
        await _known(rig)
        yield rig


async def _known(rig: Rig) -> None:
    """Wait until the gateway knows all functions."""

    async def so() -> bool:
        for key in rig.functions:
            try:
                status, *_ = await rig.send("GET", f"/function/{key}")
            except aiohttp.ClientError:
                return False
            if status == 404:
                return False
        return True

    await _until(so, "the gateway does not know the functions")


async def _until(so: Callable[[], Awaitable[bool]], missing: str) -> None:
    """Wait until it is so, at most 10 s."""
    for _ in range(400):
        if await so():
            return
        await asyncio.sleep(0.025)
    raise AssertionError(missing)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
