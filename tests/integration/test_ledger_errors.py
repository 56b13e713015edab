"""Errors of the database itself: they are told, and nothing is taken for unreadable or late."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from tests.support.ledger_rig import (
    ONE_TASK,
    Running,
    a_machine,
    begin,
    claim_all,
    dispatches,
    distributed,
    load_all,
)
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import (
    AlreadyExists,
    Commit,
    Fenced,
    LedgerAway,
    LedgerError,
    Owned,
)
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger

pytestmark = needs_postgres
_FEW = [Owned(shard, 1) for shard in range(16)]


async def do(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def arns(ledger: PostgresLedger, owned: Sequence[Owned]) -> list[str]:
    return [stored.execution.arn for stored in await load_all(ledger, owned)]


async def test_an_error_of_the_database_makes_no_execution_unreadable() -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        await ledger.put_machine(a_machine())
        run, _ = await begin(ledger, await claim_all(ledger), ONE_TASK)
        await do(dsn, "ALTER TABLE frame RENAME TO gone")
        with pytest.raises(LedgerError, match="frame"):
            await arns(ledger, _FEW)
        await do(dsn, "ALTER TABLE gone RENAME TO frame")
        assert await arns(ledger, _FEW) == [run.execution.arn]


@pytest.mark.parametrize("table", ["execution", "frontier", "frame", "join_result"])
async def test_columns_of_a_later_release_keep_no_execution_from_being_read(table: str) -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        await ledger.put_machine(a_machine())
        each = distributed(ONE_TASK)
        run, step = await begin(ledger, await claim_all(ledger), each, input={"items": [1, 2]})
        task = dispatches(step)[0]
        await run.send(TaskSucceeded(task.frame, task.ticket, Payload(1)))
        assert await arns(ledger, _FEW) == [run.execution.arn]
        await do(dsn, f"ALTER TABLE {table} ADD COLUMN later int")
        try:
            found = await arns(ledger, _FEW)
        except LedgerAway:  # a plan from before the change: asked again, it is made anew
            found = await arns(ledger, _FEW)
        assert found == [run.execution.arn]


@pytest.mark.parametrize(
    "answer",
    [TaskSucceeded(0, 1, Payload({"big": "x" * 9_000})), TaskFailed(0, 1, "E", "c")],
    ids=["succeeded", "failed"],
)
async def test_the_same_answer_again_is_kept_once_and_another_refused(
    answer: TaskSucceeded | TaskFailed,
) -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        arn = "arn:aws:states:us-east-1:123456789012:execution:shop:one"
        await ledger.post(arn, answer)
        await ledger.post(arn, answer)
        with pytest.raises(AlreadyExists):
            await ledger.post(arn, TaskSucceeded(0, 1, Payload("another")))
        assert [one.event for one in await ledger.posted(range(16))] == [answer]


async def test_a_fenced_commit_takes_nothing_from_who_read_the_execution_meanwhile() -> None:
    async with fresh_database() as dsn, open_ledger(dsn, 16) as ledger:
        await ledger.put_machine(a_machine())
        owned = await claim_all(ledger)
        run, step = await begin(ledger, owned, distributed(ONE_TASK), input={"items": [1]})
        [task] = dispatches(step)
        shard = run.owned.shard
        now = Owned(shard, run.owned.epoch + 1)
        connection = await asyncpg.connect(dsn)
        try:
            async with connection.transaction():  # holds up the commit, until it is fenced
                await connection.execute("UPDATE shard SET epoch = $2 WHERE id = $1", *_place(now))
                late = Commit(run.owned, run.execution.arn, run.frontier, ())
                waiting = asyncio.create_task(ledger.commit(late), name="late")
                await asyncio.sleep(0)
                stored = await ledger.load_one(run.execution.arn)
        finally:
            await connection.close()
        with pytest.raises(Fenced):
            await waiting
        again = Running(ledger, now, stored.execution, distributed(ONE_TASK), stored.frontier)
        await again.send(TaskSucceeded(task.frame, task.ticket, Payload(1)))
        [map_run] = await ledger.map_runs(run.execution.arn)
        assert map_run.status is Status.SUCCEEDED


def _place(owned: Owned) -> tuple[int, int]:
    return owned.shard, owned.epoch
