"""The engine of `torpor dev`: PostgreSQL, the engine and its APIs in this process.

It is wired as in a cluster, the machines included: they are put through the internal API, so that
what is refused here is refused there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import aiohttp

from torpor.dev.executions import ExecutionRow
from torpor.dev.machines import FolderMachines
from torpor.dev.state import kept_key
from torpor.dev.workflows import LocalWorkflow
from torpor.invoke import Invoker
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token, task_token_key
from torpor.telemetry.tracing import Keep, exporting
from torpor.workflows.admin import MachineAdmin
from torpor.workflows.engine.base import Integration
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.catalog import catalog
from torpor.workflows.engine.integrations.connection_files import ConnectionFiles
from torpor.workflows.engine.integrations.events import Events
from torpor.workflows.engine.integrations.objects import open_store
from torpor.workflows.engine.integrations.reach import EVERYWHERE
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.world import WallClock, World
from torpor.workflows.latest import LatestExecution, latest
from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger
from torpor.workflows.machines import Machines
from torpor.workflows.stepfunctions.arns import Place
from torpor.workflows.stepfunctions.runner import IntegrationRunner
from torpor.workflows.stepfunctions.server import Server
from torpor.workflows.stepfunctions.service import Service, Settings

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
OWNER = "torpor-dev"
LEASE_SECONDS = 2.0
"""How long a killed run's executions wait for the next run at most."""
SHARDS = 16
LAST_SPANS_SECONDS = 1.0
"""Whoever ends a run waits no longer for a collector that is away."""
_READY_SECONDS = 30.0
_LOOK_SECONDS = 0.5
_SHOWN = 8


class LocalEngine:
    """Runs executions whose state is in `place`; functions are called at the URL `gateway`.

    Each folder in `objects` is a bucket. `functions_key` is the secret that the functions' tokens
    derive from, `connections` the folder with the connections of HTTP tasks, which need not be
    there. `events` is the URL of the events API, empty where it is not served; `keep` gets spans.
    """

    def __init__(
        self,
        place: Path,
        objects: Path,
        gateway: str,
        port: int,
        *,
        functions_key: bytes,
        connections: Path,
        events: str = "",
        keep: Keep | None = None,
    ) -> None:
        self._place = place
        self._objects = objects
        self._gateway = gateway
        self._port = port
        self._functions_key = functions_key
        self._events = events
        self._keep = keep
        self._connections = ConnectionFiles(connections)
        self._wanted: Mapping[FunctionKey, LocalWorkflow] = {}
        self._machines = FolderMachines()
        self._ledger: PostgresLedger | None = None
        self._services: Mapping[str, Integration] = {}
        self._task: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._crashed = asyncio.Event()
        self._ending = asyncio.Event()
        self._since = time.time()
        self.rows: Sequence[ExecutionRow] = ()

    @property
    def url(self) -> str:
        """Where the execution API listens."""
        return f"http://{HOST}:{self._port}"

    def greeting(self) -> Iterator[str]:
        """How to reach the engine, in lines for the person at the terminal."""
        for key in self._wanted:
            yield f"{key}  workflow: torpor workflow run {key.name} -n {key.namespace} --watch"
        yield f"execution API of Step Functions: export TORPOR_WORKFLOWS={self.url}"
        yield (
            f"  boto3.client('stepfunctions', endpoint_url='{self.url}', region_name='us-east-1',"
        )
        yield "               aws_access_key_id='any', aws_secret_access_key='any')"
        yield f"buckets of S3 are folders in {self._objects}"

    @asynccontextmanager
    async def opened(self, dsn: str) -> AsyncIterator[None]:
        """Have the ledger in this PostgreSQL inside the block."""
        self._place.mkdir(parents=True, exist_ok=True)
        async with open_ledger(dsn, SHARDS) as self._ledger:
            yield

    @asynccontextmanager
    async def running(self, workflows: Mapping[FunctionKey, LocalWorkflow]) -> AsyncIterator[None]:
        """Serve inside the block, which is inside that of `opened`."""
        ledger = self._ledger
        assert ledger is not None, "opened"
        key = kept_key(self._place / "key")
        async with self._serving(ledger, key):
            await ledger.expire(time.time())
            await self.follow(workflows)
            jobs = {"executions": self._watch(ledger), "machines": self._machines.catch_up()}
            tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()

    async def crash(self) -> int:
        """Drop the engine as its death would, and return when another serves the same ledger.

        It returns how many of the latest executions were running. What the engine had not committed
        is done again. TimeoutError if no other serves in 30 s.
        """
        assert self._ledger is not None, "opened"
        found = await latest(self._ledger, _SHOWN)
        self._up.clear()
        self._crashed.set()
        self.abandon()
        async with asyncio.timeout(_READY_SECONDS):
            await self._up.wait()
        return sum(item.stopped_at is None for item in found)

    @asynccontextmanager
    async def _serving(self, ledger: PostgresLedger, key: bytes) -> AsyncIterator[None]:
        """Have an engine inside the block, and another after each that crashed."""
        serving = asyncio.create_task(self._serve(ledger, key), name="engines")
        up = asyncio.create_task(self._up.wait(), name="first engine")
        try:
            await asyncio.wait((serving, up), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            yield
        finally:
            up.cancel()
            self._ending.set()
            self._crashed.set()
            await asyncio.wait((serving, up))
        serving.result()

    async def _serve(self, ledger: PostgresLedger, key: bytes) -> None:
        while not self._ending.is_set():
            self._crashed.clear()
            async with self._engine(ledger, key) as engine, self._api(ledger, engine, key):
                self._up.set()
                await self._crashed.wait()

    def abandon(self) -> None:
        """End now: tasks are not waited for, they are done again in the next run."""
        if self._task is not None:
            self._task.cancel()

    async def follow(self, workflows: Mapping[FunctionKey, LocalWorkflow]) -> None:
        """Have these Workflows and no others; what the engine refuses is said and left out.

        What only time mends is tried again: an engine that is away, an earlier machine of the same
        name that ends. While the engine ends, nothing is changed any more.
        """
        self._wanted = workflows
        await self._machines.follow(workflows)

    @asynccontextmanager
    async def _engine(self, ledger: PostgresLedger, key: bytes) -> AsyncIterator[Engine]:
        async with (
            exporting("torpor-engine", LAST_SPANS_SECONDS, self._keep) as emit,
            Invoker(self._gateway, key=self._functions_key) as invoker,
            Events(self._events, "") as events,
        ):
            store = open_store(f"file://{self._objects}")
            found = catalog(
                invoker,
                ledger,
                lambda: engine,
                WallClock(),
                store,
                self._connections,
                EVERYWHERE,
                events if self._events else None,
            )
            self._services = found.integrations
            options = EngineOptions(OWNER, lease_seconds=LEASE_SECONDS)
            engine = Engine(
                ledger, self._services, found.items, task_token_key(key), options, emit=emit
            )
            task = self._task = asyncio.create_task(engine.run(), name="engine")
            task.add_done_callback(_tell)
            try:
                async with asyncio.timeout(_READY_SECONDS):
                    while not engine.shards and not task.done():  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                yield engine
            finally:
                engine.stop_running()
                await asyncio.wait((task,))

    @asynccontextmanager
    async def _api(self, ledger: PostgresLedger, engine: Engine, key: bytes) -> AsyncIterator[None]:
        place = Place()
        outside = World("", WallClock(), Random(), TaskTokens(task_token_key(key)))  # noqa: S311 - names, no secret
        settings = Settings(place)
        tasks = IntegrationRunner(self._services, outside, place)
        server = Server(Service(ledger, engine, outside, key, settings, tasks))
        admin = MachineAdmin(
            ledger,
            engine,
            key,
            arn_of=place.machine,
            wall=time.time,
            payload_bytes=settings.payload_bytes,
        )
        await server.start(HOST, self._port)
        try:
            await admin.start(HOST, 0)
            try:
                async with aiohttp.ClientSession() as session:
                    url = f"http://{HOST}:{admin.port}"
                    with self._machines.at(Machines(session, url, internal_token(key))):
                        yield
            finally:
                await admin.stop()
        finally:
            await server.stop()

    async def latest(self) -> Sequence[LatestExecution]:
        """Return the latest executions, the newest first. Raises LedgerAway."""
        assert self._ledger is not None, "opened"
        return await latest(self._ledger)

    async def _watch(self, ledger: PostgresLedger) -> None:
        """Keep the latest executions for the view; a look that fails is made again."""
        while True:
            try:
                found = await latest(ledger, _SHOWN)
                self.rows = [_row(item) for item in found if self._is_news(item)]
            except LedgerError as error:
                log.debug("the executions cannot be seen: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_news(self, execution: LatestExecution) -> bool:
        return execution.stopped_at is None or execution.stopped_at >= self._since


def _tell(task: asyncio.Task[None]) -> None:
    """Say why an engine ended that was not told to."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("the engine ended: executions go on in the next run", exc_info=error)


def _row(found: LatestExecution) -> ExecutionRow:
    end = found.stopped_at or time.time()
    seconds = max(0.0, end - found.started_at)
    return ExecutionRow(
        found.arn, found.workflow, found.name, found.status, found.states, seconds, found.error
    )
