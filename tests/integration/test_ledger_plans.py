"""Nothing that the engine or the API does reads a whole table, however much the ledger keeps.

PostgreSQL itself counts what was read in sequence, also inside of functions. Every call is made
more often than a prepared statement waits for its generic plan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg

from tests.support.ledger_rig import (
    CHAIN,
    LEASE_SECONDS,
    MACHINE_ARN,
    STARTED_AT,
    Running,
    a_machine,
    an_execution,
    begin,
    claim_all,
    load_all,
    started_in,
)
from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.asl.events import TaskSucceeded
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import Owned
from torpor.workflows.ledger.keys import day_of
from torpor.workflows.ledger.postgres import PostgresLedger, open_ledger

pytestmark = needs_postgres
ENDED = 50_000
REVISIONS = 2_000
WAITING = 5_000
FEW = 100
"""Rows that one look may read, in tables and in indexes."""
TIMES = 7
"""A statement is planned anew five times before its generic plan is thought of."""
DAY_SECONDS = 86_400.0
_MORE_REVISIONS = """
INSERT INTO revision (machine_arn, revision_id, updated_at, body)
SELECT machine_arn, 'old-' || n, updated_at, body FROM revision, generate_series(1, $1::int) AS n
"""
_ENDED = """
INSERT INTO execution (key, arn, name, machine_arn, revision_id, shard, day, status, input,
    input_digest, started_at, stopped_at, output)
SELECT md5(n::text)::uuid, $1 || ':old-' || n, 'old-' || n, $1, 'old-' || (1 + n % $2::int), n % 16,
    $3, 'SUCCEEDED', '{}', '', $4 - n, $4 - n, '{}'
FROM generate_series(1, $5::int) AS n
"""
_READ_IN_SEQUENCE = """
SELECT relname, seq_tup_read FROM pg_stat_user_tables
WHERE relname IN ('execution', 'revision') OR relname ~ '^(history|blob)_'
"""
_READ_OF_WAITING = """
SELECT relname, seq_tup_read + idx_tup_fetch + (
    SELECT sum(idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid
)
FROM pg_stat_user_tables t WHERE relname IN ('fresh', 'lane_place', 'inbox')
"""
Call = Callable[[PostgresLedger], Awaitable[object]]


async def test_no_call_reads_a_large_table_in_sequence() -> None:
    async with fresh_database() as dsn:
        async with open_ledger(dsn, 16) as ledger:
            await ledger.put_machine(a_machine())
            await _fill(dsn)
            owned = await claim_all(ledger)
            runs = [(await begin(ledger, owned, CHAIN))[0] for _ in range(200)]
        await _administer(dsn, "VACUUM ANALYZE")
        guilty = {}
        for name, call in _calls(runs, list(owned.values())).items():
            if read := await _read_in_sequence(dsn, call):
                guilty[name] = read
        assert guilty == {}


async def test_who_waits_for_a_place_is_not_looked_at() -> None:
    async with fresh_database() as dsn:
        async with open_ledger(dsn, 16) as ledger:
            await ledger.put_machine(a_machine())
            waiting = await asyncio.gather(*(ledger.insert(an_execution()) for _ in range(WAITING)))
            entering = [(one.arn, one.started_at) for one in waiting]
            assert (await ledger.admit("lane", 0, entering)).waiting
        await _administer(dsn, "VACUUM ANALYZE")
        calls: dict[str, Call] = {
            "started": lambda ledger: started_in(ledger, range(16)),
            "look": lambda ledger: ledger.wait_for_work(range(16), 0.0),
            "admit none": lambda ledger: ledger.admit("lane", 0, []),
            "admit": lambda ledger: ledger.admit("lane", 5, []),
            "started then": lambda ledger: started_in(ledger, range(16)),
        }
        for name, call in calls.items():
            read = await _read(dsn, call, _READ_OF_WAITING)
            assert sum(read.values()) < TIMES * FEW, (name, read)
        async with open_ledger(dsn, 16) as ledger:
            assert len(await started_in(ledger, range(16))) == 5


async def test_what_is_counted_is_what_is_read() -> None:
    async def whole(ledger: PostgresLedger) -> None:
        await ledger._database.value("SELECT count(*) FROM execution WHERE error IS NULL")

    async with fresh_database() as dsn:
        async with open_ledger(dsn, 16) as ledger:
            await ledger.put_machine(a_machine())
            await ledger.insert(an_execution())
        assert await _read_in_sequence(dsn, whole) == {"execution": TIMES}


def _calls(runs: list[Running], owned: list[Owned]) -> dict[str, Call]:
    """What an engine and the API do all the time."""
    one, left = runs[0].execution.arn, iter(runs[1:])
    return {
        "claim": lambda ledger: ledger.claim("two", 4, LEASE_SECONDS),
        "renew": lambda ledger: ledger.renew("one", owned, LEASE_SECONDS),
        "load": lambda ledger: load_all(ledger, owned[:4]),
        "started": lambda ledger: started_in(ledger, range(16)),
        "load_one": lambda ledger: ledger.load_one(one),
        "posted": lambda ledger: ledger.posted(range(16)),
        "insert": lambda ledger: ledger.insert(an_execution()),
        "commit": lambda ledger: _commit(ledger, left),
        "admit": lambda ledger: ledger.admit("lane", 5, [(run.execution.arn, 1.0) for run in runs]),
        "describe": lambda ledger: ledger.execution(one),
        "history": lambda ledger: ledger.history(one, 100, None, False),
        "map runs": lambda ledger: ledger.map_runs(one),
        "list": lambda ledger: ledger.executions(None, None, 100, None),
        "list of a machine": lambda ledger: ledger.executions(MACHINE_ARN, None, 100, None),
        "list of a status": lambda ledger: ledger.executions(MACHINE_ARN, Status.FAILED, 100, None),
        "list of redriven": lambda ledger: ledger.executions(
            MACHINE_ARN, None, 100, None, None, True
        ),
        "machine": lambda ledger: ledger.machine(MACHINE_ARN),
        "machines": lambda ledger: ledger.machines(100, None),
        "put machine": lambda ledger: ledger.put_machine(a_machine(), "r1"),
        "expire nothing": lambda ledger: ledger.expire(STARTED_AT),
        "expire a few": lambda ledger: ledger.expire(STARTED_AT + 90 * DAY_SECONDS - ENDED + 3_000),
    }


async def _commit(ledger: PostgresLedger, left: Iterator[Running]) -> None:
    run = next(left)
    run.ledger = ledger
    [frame] = run.frontier.frames.values()
    await run.send(TaskSucceeded(frame.id, frame.ticket, Payload({"ok": True})))


async def _fill(dsn: str) -> None:
    await _administer(dsn, _MORE_REVISIONS, REVISIONS)
    day = day_of(STARTED_AT)
    await _administer(dsn, _ENDED, MACHINE_ARN, REVISIONS, day, STARTED_AT, ENDED)


async def _read_in_sequence(dsn: str, call: Call) -> dict[str, int]:
    """How many rows of the large tables the calls read in sequence."""
    return await _read(dsn, call, _READ_IN_SEQUENCE)


async def _read(dsn: str, call: Call, counts: str) -> dict[str, int]:
    """By how much the calls raise what a query counts, for each table that they read.

    A connection reports what it read when it closes, so each call has a ledger of its own.
    """
    before = await _reads(dsn, counts)
    async with open_ledger(dsn, 16) as ledger:
        for _ in range(TIMES):
            await call(ledger)
    async with asyncio.timeout(30):
        while await _administer(dsn, _OTHERS):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    after = await _reads(dsn, counts)
    return {table: read - before[table] for table, read in after.items() if read > before[table]}


_OTHERS = """
SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
"""


async def _reads(dsn: str, counts: str) -> dict[str, int]:
    return {table: int(read) for table, read in await _administer(dsn, counts)}


async def _administer(dsn: str, statement: str, *arguments: object) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(statement, *arguments, timeout=120))
    finally:
        await connection.close()
