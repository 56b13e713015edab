"""The real engine on a real PostgreSQL, with functions in a process of their own, and its figures.

Everything is durable (fsync on), and an execution counts as ended when its end is durable.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, cast

import asyncpg

from tests.load.workflow_definitions import FUNCTION, three_tasks
from tests.support.engine_rig import KEY, make_execution, make_machine, running
from torpor.invoke import Invoker
from torpor.resources.names import FunctionKey
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.catalog import catalog
from torpor.workflows.engine.world import WallClock
from torpor.workflows.ledger.base import Commit, Ledger
from torpor.workflows.ledger.embedded import EmbeddedPostgres
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger
from torpor.workflows.records import Machine

END_SECONDS = 60.0
"""After this long an execution that has not ended is a failure of the bench."""
FUNCTION_SERVER = "tests.load.peers.function_server"


@dataclass(frozen=True)
class Round:
    """Workflows done one after another by so many at once."""

    ms: Sequence[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.ms) / self.seconds


class Watched:
    """The ledger, telling when an execution's end is durable, and how large commits are."""

    def __init__(self, ledger: PostgresLedger) -> None:
        self._ledger = ledger
        self._ends: dict[str, asyncio.Future[Status]] = {}
        self.commit_bytes: list[int] = []
        pass_on = ledger._commits.write

        async def noted(write: Any, key: Any, size_bytes: int) -> None:
            self.commit_bytes.append(size_bytes)
            await pass_on(write, key, size_bytes)

        ledger._commits.write = noted  # type: ignore[method-assign]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def end_of(self, arn: str) -> asyncio.Future[Status]:
        """Done when the execution's last commit is."""
        end: asyncio.Future[Status] = asyncio.get_running_loop().create_future()
        self._ends[arn] = end
        return end

    async def commit(self, commit: Commit) -> None:
        await self._ledger.commit(commit)
        status = commit.frontier.status
        if status is not Status.RUNNING:
            self._ends.pop(commit.execution_arn).set_result(status)


@dataclass
class Bench:
    """An engine at work, and what the peers may share with it."""

    engine: Engine
    ledger: Watched
    machine: Machine
    invoker: Invoker
    server: EmbeddedPostgres
    functions_url: str
    count: int = field(default=0)

    async def one(self) -> float:
        """Milliseconds from the call that starts an execution to its durable end."""
        self.count += 1
        name = f"e{self.count}"
        execution = make_execution(self.machine, {"n": self.count}, name, time.time())
        end = self.ledger.end_of(execution.arn)
        begun = time.perf_counter()
        _ = await self.engine.start(execution)
        status = await asyncio.wait_for(end, END_SECONDS)
        assert status is Status.SUCCEEDED, f"{execution.arn} is {status.value}"
        return 1e3 * (time.perf_counter() - begun)

    async def round(self, at_once: int, seconds: float) -> Round:
        """So many at once, each starting the next execution when its last one ended."""
        taken_ms: list[float] = []
        begun = time.perf_counter()

        async def worker() -> None:
            while time.perf_counter() - begun < seconds:
                taken_ms.append(await self.one())

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                _ = group.create_task(worker())
        return Round(taken_ms, time.perf_counter() - begun)

    async def call_ms(self) -> float:
        """Milliseconds of one call of the function by the client that the engine uses."""
        key = FunctionKey("default", FUNCTION.rpartition(":")[2])
        begun = time.perf_counter()
        _ = await self.invoker.invoke(key, "POST", "/", {}, b'{"n": 1}', END_SECONDS)
        return 1e3 * (time.perf_counter() - begun)

    async def wal_bytes(self) -> int:
        """Where PostgreSQL's write-ahead log ends."""
        connection = await asyncpg.connect(self.server.dsn)
        try:
            found = await connection.fetchval(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
            )
        finally:
            await connection.close()
        return int(found)


@asynccontextmanager
async def at_work() -> AsyncIterator[Bench]:
    """PostgreSQL, functions and an engine that owns every shard."""
    with _postgres() as server:
        async with _functions() as url, _engine(server, url) as bench:
            yield bench


@contextmanager
def _postgres() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        server.start()
        try:
            yield server
        finally:
            server.stop()


@asynccontextmanager
async def _engine(server: EmbeddedPostgres, url: str) -> AsyncIterator[Bench]:
    async with open_ledger(server.dsn) as ledger, Invoker(url) as invoker:
        watched, clock = Watched(ledger), WallClock()
        engines: list[Engine] = []
        found = catalog(invoker, ledger, lambda: engines[0], clock)
        engine = Engine(
            cast(Ledger, watched),
            found.integrations,
            found.items,
            KEY,
            EngineOptions("bench"),
            clock,
            Random(1),
        )
        engines.append(engine)
        async with running(engine):
            while engine.shards < ledger.shards:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            machine = await ledger.put_machine(make_machine(three_tasks()))
            bench = Bench(engine, watched, machine, invoker, server, url)
            _ = await bench.round(1, 1.0)
            yield bench


@asynccontextmanager
async def _functions() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", FUNCTION_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        _ = await asyncio.wait_for(process.wait(), 10)


def percentile(values: Iterable[float], of_hundred: float) -> float:
    """The value that so many of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * of_hundred / 100))]
