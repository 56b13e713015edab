"""The engine on a real PostgreSQL: nothing is lost, and nothing happens twice in a history."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.support.engine_rig import (
    KEY,
    NoItems,
    Tasks,
    make_execution,
    make_machine,
    running,
)
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.world import WallClock
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Execution, Options

pytestmark = needs_postgres


async def echo(job: Job) -> Any:
    return job.dispatch.argument.value


@asynccontextmanager
async def at_work(
    dsn: str, tasks: Tasks, owner: str = "one"
) -> AsyncIterator[tuple[Ledger, Engine]]:
    async with open_ledger(dsn) as ledger:
        engine = Engine(
            ledger, {"lambda": tasks}, NoItems(), KEY, EngineOptions(owner), WallClock(), Random(1)
        )
        async with running(engine):
            yield ledger, engine


async def ended(ledger: Ledger, execution: Execution, seconds: float = 60.0) -> Execution:
    async with asyncio.timeout(seconds):
        while (  # noqa: ASYNC110
            found := await ledger.execution(execution.arn)
        ).status is Status.RUNNING:
            await asyncio.sleep(0.005)
    return found


async def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def all_in_lanes(dsn: str, count: int, seconds: float = 60.0) -> None:
    """Wait until so many executions have a place or wait for one: who comes later begins later."""
    connection = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(seconds):
            while (  # noqa: ASYNC110 - another process
                await connection.fetchval("SELECT count(*) FROM lane_place") < count
            ):
                await asyncio.sleep(0.01)
    finally:
        await connection.close()


class Memory:
    """How much more this process has in memory than at the beginning, at the most."""

    def __init__(self) -> None:
        self._before = self._now()
        self.grown_bytes = 0

    def look(self) -> None:
        self.grown_bytes = max(self.grown_bytes, self._now() - self._before)

    @staticmethod
    def _now() -> int:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()


def three_tasks() -> dict[str, Any]:
    task = {"Type": "Task", "Resource": "arn:aws:lambda:echo"}
    return {
        "StartAt": "a",
        "States": {
            "a": {**task, "Next": "b"},
            "b": {**task, "Next": "c"},
            "c": {**task, "End": True},
        },
    }


def nested() -> dict[str, Any]:
    """A Map inside a Parallel inside a Map, with a wait and tasks."""
    task = {"Type": "Task", "Resource": "arn:aws:lambda:echo", "End": True}
    inner = {
        "StartAt": "each",
        "States": {
            "each": {
                "Type": "Map",
                "ItemProcessor": {"StartAt": "t", "States": {"t": task}},
                "End": True,
            }
        },
    }
    wait = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 1, "End": True}}}
    parallel = {
        "StartAt": "both",
        "States": {"both": {"Type": "Parallel", "Branches": [inner, wait], "End": True}},
    }
    return {
        "StartAt": "all",
        "States": {"all": {"Type": "Map", "ItemProcessor": parallel, "End": True}},
    }


async def test_a_workflow_of_three_tasks() -> None:
    tasks = Tasks({"echo": echo})
    async with fresh_database() as dsn, at_work(dsn, tasks) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(three_tasks()))
        execution = make_execution(machine, {"n": 1}, "first", time.time())
        await engine.start(execution)
        end = await ended(ledger, execution)
        assert (end.status, end.output) == (Status.SUCCEEDED, Payload({"n": 1}))
        page = await ledger.history(execution.arn, 100, None, False)
        assert [row.id for row in page.items] == list(range(1, len(page.items) + 1))
        assert page.items[-1].type == "ExecutionSucceeded"


async def test_nested_fan_out_survives_a_change_of_engines() -> None:
    tasks = Tasks({"echo": echo})
    async with fresh_database() as dsn:
        async with at_work(dsn, tasks) as (ledger, engine):
            machine = await ledger.put_machine(make_machine(nested()))
            items = [[1, 2], [3], [], [4, 5, 6]]
            execution = make_execution(machine, items, "nested", time.time())
            await engine.start(execution)
            await asyncio.sleep(0.5)
        async with at_work(dsn, tasks, "two") as (ledger, _):
            end = await ended(ledger, execution)
            assert end.output == Payload([[item, item] for item in items])


@pytest.mark.timeout(300)
async def test_a_burst_of_8_000_starts_and_every_one_ends() -> None:
    tasks = Tasks({"echo": echo})
    async with fresh_database() as dsn, at_work(dsn, tasks) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(three_tasks()))
        burst = [make_execution(machine, {"n": n}, f"b{n}", time.time()) for n in range(8_000)]
        memory = Memory()
        began = time.perf_counter()
        await asyncio.gather(*(engine.start(execution) for execution in burst))
        accepted = time.perf_counter() - began
        async with asyncio.timeout(240):
            while (counts := await ledger.counts(machine.arn)).get(Status.RUNNING):
                memory.look()
                await asyncio.sleep(0.1)
        over = time.perf_counter() - began
        print(
            f"burst of {len(burst)}: accepted in {accepted:.2f} s, all ended in {over:.2f} s, "
            f"{memory.grown_bytes / 2**20:.0f} MiB"
        )
        assert counts == {Status.SUCCEEDED: len(burst)}
        for n in (0, 4_000, 7_999):
            assert (await ledger.execution(burst[n].arn)).output == Payload({"n": n})
        assert len({job.key for job in tasks.calls}) == 3 * len(burst)
        assert engine.residents == 0
        assert memory.grown_bytes < 400 * 2**20


@pytest.mark.timeout(180)
async def test_who_waits_for_a_limit_is_in_the_ledger_and_not_in_memory() -> None:
    gate = asyncio.Event()
    begun: list[int] = []

    async def hold(job: Job) -> Any:
        begun.append(job.dispatch.argument.value["n"])
        await gate.wait()
        return None

    task = {"Type": "Task", "Resource": "arn:aws:lambda:hold", "End": True}
    definition = {"StartAt": "t", "States": {"t": task}}
    tasks = Tasks({"hold": hold})
    async with fresh_database() as dsn:
        async with at_work(dsn, tasks) as (ledger, engine):
            options = Options(concurrency_limit=3)
            machine = await ledger.put_machine(make_machine(definition, options=options))
            now = time.time()
            queue = [make_execution(machine, {"n": n}, f"q{n}", now + n) for n in range(1_000)]
            for execution in queue[:3]:
                await engine.start(execution)
            await until(lambda: len(begun) == 3)
            await asyncio.gather(*(engine.start(execution) for execution in queue[3:]))
            await all_in_lanes(dsn, len(queue))
            await until(lambda: engine.residents == 3 and len(begun) == 3)
            await engine.stop(queue[500].arn, None, None)
            assert (await ledger.execution(queue[500].arn)).status is Status.ABORTED
            await until(lambda: engine.residents == 3)
        begun.clear()
        gate.set()
        async with at_work(dsn, tasks, "two") as (ledger, engine):
            await until(lambda: len(begun) >= 100)
            most = engine.residents
            async with asyncio.timeout(120):
                while (counts := await ledger.counts(machine.arn)).get(Status.RUNNING):
                    most = max(most, engine.residents)
                    await asyncio.sleep(0.05)
            assert counts == {Status.SUCCEEDED: 999, Status.ABORTED: 1}
            assert sorted(begun) == [n for n in range(1_000) if n != 500]
            assert all(abs(n - place) < 10 for place, n in enumerate(begun))
            assert tasks.most <= 3
            assert most < 20


async def test_a_map_of_ten_thousand_items_forty_at_a_time() -> None:
    async def double(job: Job) -> Any:
        await asyncio.sleep(0)
        return 2 * job.dispatch.argument.value

    task = {"Type": "Task", "Resource": "arn:aws:lambda:double", "End": True}
    definition = {
        "StartAt": "all",
        "States": {
            "all": {
                "Type": "Map",
                "MaxConcurrency": 40,
                "ItemProcessor": {"StartAt": "t", "States": {"t": task}},
                "End": True,
            }
        },
    }
    tasks = Tasks({"double": double})
    async with fresh_database() as dsn, at_work(dsn, tasks) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(definition))
        execution = make_execution(machine, list(range(10_000)), "wide", time.time())
        await engine.start(execution)
        end = await ended(ledger, execution, seconds=110)
        assert end.output == Payload([2 * n for n in range(10_000)])
        assert tasks.most <= 40


async def test_five_mebibytes_between_states() -> None:
    tasks = Tasks({"echo": echo})
    async with fresh_database() as dsn, at_work(dsn, tasks) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(three_tasks()))
        execution = make_execution(machine, {"big": "x" * 5 * 2**20}, "big", time.time())
        await engine.start(execution)
        assert (await ended(ledger, execution)).output == execution.input
