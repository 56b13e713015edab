"""Tables are changed while an older release works on them: neither waits for the other for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import pytest

from tests.support.ledger_rig import (
    MACHINE_ARN,
    ONE_TASK,
    STARTED_AT,
    Running,
    a_machine,
    an_execution,
    claim_all,
    fresh_ledger,
    started_in,
)
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import Start, TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger import database, migrations
from torpor.workflows.ledger.arguments import start_arguments
from torpor.workflows.ledger.base import Owned
from torpor.workflows.ledger.keys import day_of, key_of
from torpor.workflows.ledger.migrations import scripts
from torpor.workflows.ledger.postgres import PostgresLedger

pytestmark = needs_postgres
OLDER = 3
"""The newest script of the older release."""
ENDED = 60_000
"""An index on so many executions is not built in a moment."""
SHARDS = 4
_FILL = """
INSERT INTO execution (key, arn, name, machine_arn, revision_id, shard, day, status, input,
    input_digest, started_at, stopped_at, output)
SELECT md5(n::text)::uuid, $1 || ':old-' || n, 'old-' || n, $1, 'old-' || n % 100, n % 4, $2,
    'SUCCEEDED', '{}', '', $3 - n, $3 - n, '{}'
FROM generate_series(1, $4::int) AS n
"""


async def test_a_ledger_is_migrated_while_an_older_engine_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fresh_database() as dsn:
        await _prepare(dsn, monkeypatch)
        async with _older_engine(dsn) as ledger, asyncio.timeout(60):
            await ledger.put_machine(a_machine())
            owned = await claim_all(ledger)
            done = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                runs = [group.create_task(_work(ledger, owned, done)) for _ in range(8)]
                tags = group.create_task(_change(ledger, done))
                await _migrate(dsn, 16)
                done.set()
            ended = sum(run.result() for run in runs)
            succeeded = await ledger.executions(MACHINE_ARN, Status.SUCCEEDED, 1, None)
            applied = await ledger._database.value("SELECT max(number) FROM schema_version")
        assert ended > len(runs)
        assert tags.result() > 0
        assert succeeded.items[0].output == Payload({"ok": True})
        assert applied == scripts()[-1][0]


async def test_a_script_may_take_longer_than_a_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fresh_database() as dsn:
        await _prepare(dsn, monkeypatch)
        monkeypatch.setattr(database, "STATEMENT_SECONDS", 1.0)
        holding = await asyncpg.connect(dsn)
        async with asyncio.TaskGroup() as group, holding.transaction():
            await holding.execute("LOCK TABLE execution IN ROW EXCLUSIVE MODE")
            both = [group.create_task(_migrate(dsn, 16)) for _ in range(2)]
            done, _ = await asyncio.wait(both, timeout=2.5)
        applied = await holding.fetchval("SELECT max(number) FROM schema_version")
        await holding.close()
    assert not done
    assert applied == scripts()[-1][0]


async def test_whom_an_older_engine_lets_begin_is_looked_at() -> None:
    async with fresh_ledger() as ledger:
        one = await ledger.insert(an_execution())
        assert (await ledger.admit("lane", 0, [(one.arn, one.started_at)])).waiting
        assert await started_in(ledger, range(16)) == []
        older = "SELECT torpor_admit($1, 1, '{}', '{}', '{}')"
        assert await ledger._database.value(older, key_of("lane")) == one.arn
        assert [stored.execution.arn for stored in await started_in(ledger, range(16))] == [one.arn]


async def _prepare(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables as the older release made them, with executions that ended."""
    older = [script for script in scripts() if script[0] <= OLDER]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "scripts", lambda: older)
        await _migrate(dsn, SHARDS)
    connection = await asyncpg.connect(dsn)
    try:
        day = day_of(STARTED_AT)
        await connection.execute(_FILL, MACHINE_ARN, day, STARTED_AT, ENDED, timeout=60)
    finally:
        await connection.close()


@asynccontextmanager
async def _older_engine(dsn: str) -> AsyncIterator[PostgresLedger]:
    ledger = PostgresLedger(await database.open_database(dsn), SHARDS)
    ledger.start()
    try:
        yield ledger
    finally:
        await ledger.close()


async def _migrate(dsn: str, shards: int) -> None:
    opened = await database.open_database(dsn)
    try:
        assert await migrations.migrate(opened, shards) == SHARDS
    finally:
        await opened.close()


async def _work(ledger: PostgresLedger, owned: dict[int, Owned], done: asyncio.Event) -> int:
    """Start executions as the older release does, and end them, for as long as it takes."""
    ended = 0
    while not done.is_set():
        bare = an_execution()
        execution = replace(bare, shard=ledger.shard_of(bare.arn))
        *columns, _, _, days, digests, bodies = start_arguments([execution], ledger._blobs)
        arguments = [*columns, days, digests, bodies]
        places = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
        await ledger._days.ensure([day_of(execution.started_at)])
        await ledger._database.value(f"SELECT torpor_start({places})", *arguments)
        running = Running(ledger, owned[execution.shard], execution, ONE_TASK)
        await running.send(Start())
        [frame] = running.frontier.frames.values()
        await running.send(TaskSucceeded(frame.id, frame.ticket, Payload({"ok": True})))
        ended += 1
    return ended


async def _change(ledger: PostgresLedger, done: asyncio.Event) -> int:
    """Change the machine, which reads executions and writes a revision."""
    changed = 0
    while not done.is_set():
        await ledger.put_machine(a_machine(), "r1")
        changed += 1
    return changed
