"""What is told of executions, Map Runs and stops is what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest

from tests.support.engine_rig import KEY, NoItems, Tasks, make_execution, make_machine, running
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine import execution_calls
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.executions import Executions
from torpor.workflows.engine.world import WallClock
from torpor.workflows.latest import latest
from torpor.workflows.ledger.base import Ledger, LedgerAway, NotFound
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Execution

pytestmark = needs_postgres


def distributed(state: dict[str, Any]) -> dict[str, Any]:
    processor = {
        "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "a",
        "States": {"a": {**state, "End": True}},
    }
    each = {"Type": "Map", "ItemsPath": "$.i", "ItemProcessor": processor, "End": True}
    return {"StartAt": "m", "States": {"m": each}}


@asynccontextmanager
async def at_work(tasks: Tasks) -> AsyncIterator[tuple[Ledger, Engine]]:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        options = EngineOptions("one")
        engine = Engine(ledger, {"lambda": tasks}, NoItems(), KEY, options, WallClock(), Random(1))
        async with running(engine):
            yield ledger, engine


async def ended(ledger: Ledger, execution: Execution) -> Execution:
    async with asyncio.timeout(30):
        while (  # noqa: ASYNC110
            found := await ledger.execution(execution.arn)
        ).status is Status.RUNNING:
            await asyncio.sleep(0.01)
    return found


async def test_children_that_start_and_end_in_one_commit_count_once() -> None:
    async with at_work(Tasks()) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(distributed({"Type": "Pass"})))
        items = {"i": list(range(100))}
        execution = await engine.start(make_execution(machine, items, "e", time.time()))
        assert (await ended(ledger, execution)).status is Status.SUCCEEDED
        [run] = await ledger.map_runs(execution.arn)
        assert (run.total, run.succeeded, run.failed) == (100, 100, 0)


async def test_an_execution_that_is_in_many_states_tells_some_of_them() -> None:
    waits = [
        {"StartAt": name, "States": {name: {"Type": "Wait", "Seconds": 600, "End": True}}}
        for name in (f"w{number}" for number in range(60))
    ]
    all_at_once = {"Type": "Parallel", "Branches": waits, "End": True}
    async with at_work(Tasks()) as (ledger, engine):
        definition = {"StartAt": "all", "States": {"all": all_at_once}}
        machine = await ledger.put_machine(make_machine(definition))
        await engine.start(make_execution(machine, {}, "e", time.time()))
        async with asyncio.timeout(30):
            while len((found := await latest(ledger))[0].states) < 50:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (len(found[0].states), found[0].states[-1]) == (51, "…")


async def test_redrives_of_a_map_run_are_counted() -> None:
    async def fail(job: Job) -> Any:
        raise Fault("Bad", "luck")

    task = {"Type": "Task", "Resource": "arn:aws:lambda:fail"}
    async with at_work(Tasks({"fail": fail})) as (ledger, engine):
        machine = await ledger.put_machine(make_machine(distributed(task)))
        execution = await engine.start(make_execution(machine, {"i": [1]}, "e", time.time()))
        assert (await ended(ledger, execution)).status is Status.FAILED
        [run] = await ledger.map_runs(execution.arn)
        assert (await ledger.map_run(run.arn)).redrive_count == 0
        redriven_at = await engine.redrive(execution.arn)
        assert (await ended(ledger, execution)).status is Status.FAILED
        told = await ledger.map_run(run.arn)
        assert told.redrive_count == 1
        assert told.redriven_at == pytest.approx(redriven_at, abs=1)


async def test_what_starts_itself_ends_when_it_is_deleted_and_stopped() -> None:
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:self"
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": arn},
        "End": True,
    }
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        nested = Executions(ledger, lambda: engine, WallClock())
        tasks, options = {"states": nested}, EngineOptions("one")
        engine = Engine(ledger, tasks, NoItems(), KEY, options, WallClock(), Random(1))
        async with running(engine):
            definition = {"StartAt": "s", "States": {"s": task}}
            machine = await ledger.put_machine(make_machine(definition, "self"))
            await engine.start(make_execution(machine, {}, "root", time.time()))
            async with asyncio.timeout(30):
                while (await ledger.counts(arn))[Status.RUNNING] < 10:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                await ledger.delete_machine(arn)
                left = await ledger.executions(arn, Status.RUNNING, 200, None)
                stops = [engine.stop(execution.arn, None, None) for execution in left.items]
                await asyncio.gather(*stops)
            counts = await ledger.counts(arn)
        assert counts.get(Status.RUNNING) is None
        assert sum(counts.values()) < 100
        with pytest.raises(NotFound):
            await ledger.machine(arn)


async def test_a_stop_that_did_not_happen_in_time_is_not_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(execution_calls, "_ANSWER_SECONDS", 0.3)
    wait = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 600, "End": True}}}
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        machine = await ledger.put_machine(make_machine(wait))
        execution = await ledger.insert(make_execution(machine, {}, "e", time.time()))
        idle = Engine(ledger, {}, NoItems(), KEY, EngineOptions("idle"), WallClock(), Random(1))
        with pytest.raises(LedgerAway, match="did not answer"):
            await idle.stop(execution.arn, None, None)
