"""What an engine cannot read in the ledger holds up nothing else, and stays for one that can."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import asyncpg
import pytest

from tests.support.engine_rig import KEY, NoItems, Tasks, make_execution, make_machine, running
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import Stop
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.world import WallClock
from torpor.workflows.latest import latest
from torpor.workflows.ledger.base import Ledger, LedgerError
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Execution

pytestmark = needs_postgres
WAIT = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 600, "End": True}}}
TASK = {
    "StartAt": "t",
    "States": {"t": {"Type": "Task", "Resource": "arn:aws:lambda:echo", "End": True}},
}


async def echo(job: Job) -> Any:
    return job.dispatch.argument.value


@asynccontextmanager
async def at_work(dsn: str, owner: str = "one") -> AsyncIterator[tuple[Ledger, Engine]]:
    async with open_ledger(dsn, 16) as ledger:
        tasks, options = Tasks({"echo": echo}), EngineOptions(owner)
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


async def started(ledger: Ledger, engine: Engine, definition: Any, name: str) -> Execution:
    machine = make_machine(definition, name)
    await ledger.put_machine(machine)
    return await engine.start(make_execution(machine, {}, name, time.time()))


async def do(dsn: str, statement: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement, *arguments)
    finally:
        await connection.close()


@pytest.mark.parametrize("event", [b'{"type":"OfTheNextRelease"}', b'{"type":"TaskSucceeded"}'])
async def test_an_event_that_cannot_be_read_stays_and_stops_no_engine(event: bytes) -> None:
    async with fresh_database() as dsn, at_work(dsn) as (ledger, engine):
        waiting = await started(ledger, engine, WAIT, "waiting")
        shard = ledger.shard_of(waiting.arn)
        await do(dsn, "SELECT torpor_post($1, $2, $3)", [shard], [waiting.arn], [event])
        await ledger.post(waiting.arn, Stop())
        assert (await ended(ledger, waiting)).status is Status.ABORTED
        other = await started(ledger, engine, TASK, "other")
        assert (await ended(ledger, other)).status is Status.SUCCEEDED
        assert await do(dsn, "SELECT count(*) FROM inbox WHERE event = $1", event) == 1


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no JSON"])
async def test_an_execution_that_cannot_be_read_holds_up_none_of_the_others(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with fresh_database() as dsn:
        async with at_work(dsn) as (ledger, engine):
            bad = await started(ledger, engine, WAIT, "bad")
            good = await started(ledger, engine, WAIT, "good")
            async with asyncio.timeout(10):
                while await do(dsn, "SELECT count(*) FROM frame") < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        await do(dsn, "UPDATE frame SET body = $2 WHERE key = $1", key_of(bad.arn), body)
        async with at_work(dsn, "two") as (ledger, engine):
            await ledger.post(bad.arn, Stop())
            await ledger.post(good.arn, Stop())
            assert (await ended(ledger, good)).status is Status.ABORTED
            with pytest.raises(LedgerError, match="cannot be read"):
                await ledger.load_one(bad.arn)
            assert await do(dsn, "SELECT count(*) FROM inbox") == 1
            told_good, told_bad = await latest(ledger)
            assert (told_good.name, told_good.status, told_good.error) == ("good", "ABORTED", None)
            assert (told_bad.name, told_bad.status, told_bad.states) == ("bad", "RUNNING", ())
            assert "cannot be read" in str(told_bad.error)
            for execution in await beside(ledger, engine, bad, 3):
                assert (await ended(ledger, execution)).status is Status.SUCCEEDED
            told = [record for record in caplog.records if bad.arn in str(vars(record))]
            assert len(told) == 1


async def beside(ledger: Ledger, engine: Engine, bad: Execution, count: int) -> list[Execution]:
    """So many executions in the shard of another one."""
    machine = make_machine(TASK, "beside")
    await ledger.put_machine(machine)
    made = (make_execution(machine, {}, f"n{n}", time.time()) for n in range(1000))
    near = [one for one in made if ledger.shard_of(one.arn) == ledger.shard_of(bad.arn)]
    return [await engine.start(one) for one in near[:count]]


async def test_a_state_that_its_definition_has_not_stops_no_engine() -> None:
    async with fresh_database() as dsn:
        async with at_work(dsn) as (ledger, engine):
            bad = await started(ledger, engine, WAIT, "bad")
            good = await started(ledger, engine, WAIT, "good")
            async with asyncio.timeout(10):
                while await do(dsn, "SELECT count(*) FROM frame") < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        body = await do(dsn, "SELECT body FROM frame WHERE key = $1", key_of(bad.arn))
        body = body.replace(b'"state":"w"', b'"state":"x"')
        await do(dsn, "UPDATE frame SET body = $2 WHERE key = $1", key_of(bad.arn), body)
        async with at_work(dsn, "two") as (ledger, engine):
            await ledger.post(good.arn, Stop())
            assert (await ended(ledger, good)).status is Status.ABORTED
            assert engine.shards == 16
            assert (await ledger.execution(bad.arn)).status is Status.RUNNING


async def test_an_execution_whose_definition_is_gone_ends() -> None:
    async with fresh_database() as dsn:
        async with at_work(dsn) as (ledger, engine):
            begun = await started(ledger, engine, WAIT, "begun")
            async with asyncio.timeout(10):
                while not await do(dsn, "SELECT count(*) FROM frame"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        async with open_ledger(dsn, 16) as ledger:
            machine = await ledger.put_machine(make_machine(TASK, "fresh"))
            fresh = await ledger.insert(make_execution(machine, {}, "fresh", time.time()))
        await do(dsn, "DELETE FROM revision")
        async with at_work(dsn, "two") as (ledger, _):
            for execution in (begun, fresh):
                end = await ended(ledger, execution)
                assert (end.status, end.error) == (Status.FAILED, "States.Runtime")
                assert "is gone" in str(end.cause)
                page = await ledger.history(execution.arn, 10, None, False)
                assert page.items[0].type == "ExecutionStarted"
                assert page.items[-1].type == "ExecutionFailed"
