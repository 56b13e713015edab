"""The engine on a real PostgreSQL: nothing is lost, and nothing happens twice in a history."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

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
from torpor.workflows.records import Execution

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


async def test_a_burst_of_starts_and_every_one_ends() -> None:
    tasks = Tasks({"echo": echo})
    async with fresh_database() as dsn, at_work(dsn, tasks) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(three_tasks()))
        burst = [make_execution(machine, {"n": n}, f"b{n}", time.time()) for n in range(1_000)]
        began = time.perf_counter()
        await asyncio.gather(*(engine.start(execution) for execution in burst))
        accepted = time.perf_counter() - began
        for execution in burst:
            assert (await ended(ledger, execution)).status is Status.SUCCEEDED
        over = time.perf_counter() - began
        print(f"burst of {len(burst)}: accepted in {accepted:.2f} s, all ended in {over:.2f} s")
        assert len({job.key for job in tasks.calls}) == 3 * len(burst)


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
