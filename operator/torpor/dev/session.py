"""One run of `torpor dev`: everything wired together, and the folder followed as it changes."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torpor.dev.executions import ExecutionRow, Executions
from torpor.dev.folder import Folder, fingerprint, load_folder
from torpor.dev.gateways import InProcessGateways
from torpor.dev.manifests import BadFolder
from torpor.dev.state import KEPT
from torpor.functions.autoscaler import Autoscaler
from torpor.gateway.activator import Activator
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.gate import State
from torpor.gateway.homes import Membership
from torpor.gateway.probe import TcpProber
from torpor.platform.local import LocalPlatform
from torpor.resources.load import ColdStart, FunctionLoad
from torpor.resources.names import FunctionKey

if TYPE_CHECKING:
    from torpor.dev.engine import LocalEngine

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
DOMAIN = "localhost"
_NAME = "dev"
_CONNECTIONS_FOLDER = "TORPOR_CONNECTIONS_FOLDER"
_LOOK_SECONDS = 0.5
_START_SECONDS = 10.0
_DRAIN_SECONDS = 30.0  # what a request may take unless its function says otherwise


@dataclass(frozen=True, slots=True)
class Row:
    """One function at one moment, for people. `cold_start` is its latest, if it had one."""

    key: FunctionKey
    state: str
    replicas: int
    ready: int
    load: FunctionLoad
    reason: str
    cold_start: ColdStart | None


class Session:
    """Serves what is in `folder` on `port`; `work` is where code, logs and executions are written.

    The execution API is served on `api_port` if there are Workflows when it begins.
    """

    def __init__(
        self, folder: Path, found: Folder, work: Path, port: int, api_port: int = 0
    ) -> None:
        self.entries = found.functions
        self._workflows = found.workflows
        self._work = work
        self._api_port = api_port
        self.executions: Executions | None = None
        self.problem: str | None = None
        self.cold_starts: dict[int, ColdStart] = {}
        self._folder = folder
        self.platform = LocalPlatform(work)
        self._killed = asyncio.Event()
        self._plane = InProcessDataPlane(HOST, port, drain_seconds=_DRAIN_SECONDS)
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
        self._autoscaler = Autoscaler(self.platform, InProcessGateways(self._activator))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._plane.port

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{HOST}:{self._plane.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve inside the block; every process has ended after it."""
        async with self._engine_opened() as engine, asyncio.TaskGroup() as tasks:
            for entry in self.entries.values():
                self.platform.put(entry.program)
            jobs = {
                "platform": self.platform.run(),
                "gateway": self._activator.run(),
                "autoscaler": self._autoscaler.run(),
                "files": self._follow_files(),
            }
            running = [tasks.create_task(job, name=name) for name, job in jobs.items()]
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await self._plane.listening.wait()
                async with engine.running(self._workflows) if engine else nullcontext():
                    yield
            finally:
                await self._drain()
                for task in running:
                    task.cancel()

    @asynccontextmanager
    async def _engine_opened(self) -> AsyncIterator[LocalEngine | None]:
        if not self._workflows:
            yield None
            return
        from torpor.dev.engine import LocalEngine  # it needs PostgreSQL: only where it is used

        engine = LocalEngine(
            self._work / KEPT,
            self.url,
            self._api_port,
            functions_key=self.platform.key,
            connections=Path(os.environ.get(_CONNECTIONS_FOLDER) or self._folder / "connections"),
        )
        async with engine.opened():
            self.executions = engine
            yield engine

    def execution_rows(self) -> Sequence[ExecutionRow]:
        """Return the latest executions, as they stood a moment ago."""
        return self.executions.rows if self.executions else ()

    def requests(self) -> int:
        """Return how many requests are inside: held, queued or in flight."""
        loads = self._activator.load().functions.values()
        return sum(load.held + load.queued + load.in_flight for load in loads)

    def kill(self) -> None:
        """End every process now, and wait for no request any more."""
        if self.executions:
            self.executions.abandon()
        self.platform.kill()
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
        """Return every function as it is now."""
        load = self._activator.load()
        for item in load.cold_starts:
            self.cold_starts[item.sequence] = item
        return [self._row(key, load.functions.get(key, FunctionLoad())) for key in self.entries]

    def _row(self, key: FunctionKey, load: FunctionLoad) -> Row:
        gate, view = self._activator.gate(key), self._autoscaler.view(key)
        instances = self.platform.instances(key)
        troubles = [item.trouble.reason for item in instances if item.trouble]
        reason = view.decision.reason if view else ""
        return Row(
            key=key,
            state=gate.state.value if gate else State.ASLEEP.value,
            replicas=len(instances),
            ready=sum(item.ready and not item.terminating for item in instances),
            load=load,
            reason=", ".join(dict.fromkeys(troubles)) or reason,
            cold_start=next(
                (item for item in reversed(self.cold_starts.values()) if item.function == key),
                None,
            ),
        )

    async def _follow_files(self) -> None:
        before = await asyncio.to_thread(fingerprint, self._folder)
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = await asyncio.to_thread(fingerprint, self._folder)
            if now != before:
                before = now
                await self._reload()

    async def _reload(self) -> None:
        try:
            found = load_folder(self._folder)
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
        self.entries = entries
        if self.executions is not None:
            await self.executions.follow(found.workflows)
        elif found.workflows:
            log.warning("Workflows are new here: start torpor dev again to run them")
