"""One run of `torpor dev`: everything wired together, and the folder followed as it changes."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from torpor.dev.capacity import LocalCapacity
from torpor.dev.cold_starts import remember
from torpor.dev.dashboard import dashboard
from torpor.dev.ending import cancelled
from torpor.dev.executions import ExecutionRow
from torpor.dev.folder import Folder, fingerprint, load_folder
from torpor.dev.following import follow
from torpor.dev.gateways import InProcessGateways
from torpor.dev.lambdas import async_door, lambda_api
from torpor.dev.manifests import BadFolder
from torpor.dev.ports import HOST, Ports
from torpor.dev.roles import Setting, open_engine, open_events, open_postgres
from torpor.dev.rows import Row, Watched
from torpor.dev.runs.keeper import LocalRuns
from torpor.dev.spans import environment_of, told
from torpor.dev.standins import Embedded
from torpor.dev.state import OBJECTS, RUNS
from torpor.functions.autoscaler import Autoscaler
from torpor.gateway.activator import Activator
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.homes import Membership
from torpor.gateway.http_table import HttpTable
from torpor.gateway.probe import TcpProber
from torpor.platform.local import LocalPlatform
from torpor.platform.local_guardian import Guardian
from torpor.resources.function import Function
from torpor.resources.http_route import Claims, HttpRoute
from torpor.resources.load import ColdStart, FunctionLoad
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run
from torpor.telemetry.spanstore import SpanStore

if TYPE_CHECKING:
    from torpor.dev.engine import LocalEngine
    from torpor.dev.events import LocalEvents
    from torpor.dev.triggers import LocalTrigger
    from torpor.triggers.standings import Standing

log = logging.getLogger(__name__)
DOMAIN = "localhost"
_NAME = "dev"
_START_SECONDS = 10.0
_ROWS = 20
_END_SECONDS = 30.0  # more than processes have from SIGTERM to SIGKILL unless a Function says so
_DRAIN_SECONDS = 30.0  # what a request may take unless its function says otherwise


class Session:
    """Serves what is in `folder`; `work` is where code, logs, executions and events are written."""

    def __init__(self, folder: Path, found: Folder, work: Path, ports: Ports) -> None:
        self.entries = found.functions
        self.spans = SpanStore()
        """What all parts of it, and its functions, tell of what they do."""
        self.folder = folder
        self._found = found
        self._seen = fingerprint(folder)  # now: what is edited while servers start counts
        self._work = work
        self.executions: LocalEngine | None = None
        self.events: LocalEvents | None = None
        self.problem: str | None = None
        self.cold_starts: dict[int, ColdStart] = {}
        guardian = Guardian()
        telling = environment_of(ports)
        self.platform = LocalPlatform(work, guardian=guardian, environment=telling)
        self.runs = LocalRuns(work / RUNS, guardian=guardian, environment=telling)
        self._killed = asyncio.Event()
        self._plane = InProcessDataPlane(HOST, ports.gateway, drain_seconds=_DRAIN_SECONDS)
        self._activator = Activator(
            self.platform,
            self._plane,
            TcpProber(),
            membership=Membership.of(_NAME, HOST, {}),
            boot=secrets.token_hex(8),
            random=random.Random(),  # noqa: S311 - jitter
            domain=DOMAIN,
            cluster_domain="cluster.local",
            peer_port=0,
        )
        self._autoscaler = Autoscaler(
            self.platform,
            InProcessGateways(self._activator),
            lags=lambda: self.events.lags if self.events else {},
        )
        self._setting = Setting(
            folder,
            work,
            ports,
            self.url,
            LocalCapacity(self.platform, self._function),
            self.spans,
            self.platform.key,
        )

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._plane.port

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{HOST}:{self._plane.port}"

    @property
    def addresses(self) -> Mapping[str, str]:
        """By variable of the environment where each API is, empty for what is not served."""
        return self._setting.ports.addresses()

    @property
    def dashboard(self) -> str:
        """Where the dashboard is, without a slash at the end; empty where it is not served."""
        return self._setting.ports.addresses()["TORPOR_DASHBOARD"]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block; every process has ended after it."""
        async with AsyncExitStack() as opened:
            postgres = await open_postgres(opened, self._setting, self._found)
            engine = self.executions = await open_engine(opened, self._setting, postgres)
            events = self.events = await open_events(opened, self._setting)
            if events:
                self._plane.set_events(Server("events", HOST, events.port, 0))
            apis = self._setting.ports.addresses()
            self._embedded = Embedded(postgres, self._work / OBJECTS, apis)
            self.runs.addresses = self._embedded.addresses
            self._found = await self._stood_in(self._found)
            self.entries = self._found.functions
            tasks = await opened.enter_async_context(asyncio.TaskGroup())
            self._set_table(self._found)
            self._set_programs()
            door = async_door(self._activator, self._plane, events, self.runs)
            handover = await opened.enter_async_context(door)
            key = self.platform.key
            api = lambda_api(self._activator, self._plane, key, handover, self.runs)
            await opened.enter_async_context(api)
            await opened.enter_async_context(told(self.spans.add, self._plane, self.runs))
            await opened.enter_async_context(dashboard(self, self._setting.ports.dashboard, tasks))
            for entry in self.entries.values():
                self.platform.put(entry.program)
            jobs = {
                "platform": self.platform.run(),
                "runs": self.runs.run(),
                "gateway": self._activator.run(),
                "autoscaler": self._autoscaler.run(),
            }
            running = [tasks.create_task(job, name=name) for name, job in jobs.items()]
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await self._plane.listening.wait()
                    await self.runs.ready.wait()
                async with AsyncExitStack() as served:
                    if engine:
                        await served.enter_async_context(engine.running(self._found.workflows))
                    if events:
                        await served.enter_async_context(events.running(self._found))
                    files = follow(self.folder, self._seen, self._reload)
                    running.append(tasks.create_task(files, name="files"))
                    yield
            finally:
                self.runs.stop()
                await self._drain()
                await cancelled(running, _END_SECONDS)  # last spans still go to the dashboard

    async def _stood_in(self, found: Folder) -> Folder:
        """Return a folder with what is embedded in the place of what stands for it."""
        if not found.sources:
            return found
        from torpor.dev.embedded import stood_in  # loaded only where it is used

        return await stood_in(found, self._embedded)

    def _function(self, key: FunctionKey) -> Function | None:
        entry = self.entries.get(key)
        return entry.program.function if entry else None

    def _set_table(self, found: Folder) -> None:
        """Have requests of Triggers go where they say."""
        events = self.events is not None
        self._activator.set_table(HttpTable.of(_claims(found).routes(), events=events))

    def _set_programs(self) -> None:
        """Have Job Functions be invoked as they are in the folder now."""
        entries = self.entries.items()
        self.runs.programs = {key: entry.program for key, entry in entries}

    @property
    def triggers(self) -> Mapping[FunctionKey, LocalTrigger]:
        """The Triggers of the folder as they are now."""
        return self._found.triggers

    def routes(self) -> Iterator[HttpRoute]:
        """Yield the addresses that Triggers have."""
        yield from _claims(self._found).routes()

    def execution_rows(self) -> Sequence[ExecutionRow]:
        """Return the latest executions, as they stood a moment ago."""
        return self.executions.rows if self.executions else ()

    def run_rows(self) -> Sequence[Run]:
        """Return the latest runs of Job Functions, as they are now."""
        return list(islice(self.runs.all(), _ROWS))

    def trigger_rows(self) -> Sequence[Standing]:
        """Return how the Triggers stand, as of a moment ago."""
        return self.events.rows if self.events else ()

    def requests(self) -> int:
        """Return how many requests are inside: held, queued or in flight."""
        loads = self._activator.load().functions.values()
        return sum(load.held + load.queued + load.in_flight for load in loads)

    def kill(self) -> None:
        """End every process now, and wait for no request any more."""
        if self.executions:
            self.executions.abandon()
        if self.events:
            self.events.abandon()
        self.platform.kill()
        self.runs.kill()
        self._killed.set()

    async def _drain(self) -> None:
        stop = asyncio.create_task(self._plane.stop(), name="drain")
        killed = asyncio.create_task(self._killed.wait(), name="killed")
        try:
            await asyncio.wait((stop, killed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stop, killed):
                task.cancel()
            await asyncio.wait((stop, killed))
        if not stop.cancelled():
            stop.result()

    def rows(self) -> list[Row]:
        """Return every function that answers requests as it is now."""
        load = self._activator.load()
        remember(self.cold_starts, load.cold_starts)
        watched = Watched(self._activator, self._autoscaler, self.cold_starts)
        return [
            watched.row(key, load.functions.get(key, FunctionLoad()), self.platform.instances(key))
            for key, entry in self.entries.items()
            if entry.program.function.job is None
        ]

    async def _reload(self) -> None:
        try:
            found = await self._stood_in(await asyncio.to_thread(load_folder, self.folder))
        except BadFolder as error:
            self.problem = str(error)
            log.warning("%s\nwhat was loaded before goes on", error)
            return
        self.problem = None
        entries = found.functions
        for key in self.entries.keys() - entries.keys():
            log.info("%s is gone", key)
            self.platform.remove(key)
        for key, entry in entries.items():
            if self.entries.get(key) != entry:
                log.info("%s %s", key, "changed" if key in self.entries else "is new")
                self.platform.put(entry.program)
        self.entries, self._found = entries, found
        self._set_programs()
        self._set_table(found)
        if self.executions is not None:
            await self.executions.follow(found.workflows)
        elif found.workflows:
            log.warning("Workflows are new here: start torpor dev again to run them")
        if self.events is not None:
            await self.events.follow(found)
        elif found.has_events:
            log.warning("Triggers are new here: start torpor dev again to run them")


def _claims(found: Folder) -> Claims:
    return Claims(local.claim for local in found.triggers.values() if local.claim)
