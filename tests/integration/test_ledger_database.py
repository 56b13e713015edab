"""A connection with a transaction that nobody began is told as away, and given to nobody again."""

from __future__ import annotations

import asyncpg
import pytest

from tests.support.postgres import fresh_database, needs_postgres
from torpor.workflows.ledger.base import LedgerAway
from torpor.workflows.ledger.database import Database, open_database

pytestmark = needs_postgres
PID = "SELECT pg_backend_pid()"


class LeavesOpen:
    """Sets connections up for a pool: the first one is given out in the midst of a transaction."""

    def __init__(self) -> None:
        self.pids: list[int] = []

    async def __call__(self, connection: asyncpg.Connection) -> None:
        if not self.pids:
            await connection.execute("BEGIN")
        self.pids.append(await connection.fetchval(PID))


async def test_a_transaction_left_open_on_a_pooled_connection_harms_one_caller_only() -> None:
    given = LeavesOpen()
    async with fresh_database() as dsn, asyncpg.create_pool(dsn, min_size=0, setup=given) as pool:
        database = Database(pool, dsn)
        with pytest.raises(LedgerAway):
            async with database.snapshot():
                pytest.fail("a snapshot within somebody else's transaction sees another moment")
        async with database.snapshot() as connection:
            assert await connection.fetchval(PID) != given.pids[0]


async def set_too_late(database: Database, pids: list[int]) -> None:
    async with database.transaction() as connection:
        pids.append(await connection.fetchval(PID))
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


async def test_what_the_server_says_of_an_open_transaction_ends_the_connection() -> None:
    """25001 from PostgreSQL itself, by the one statement that asks for it."""
    async with fresh_database() as dsn:
        database = await open_database(dsn)
        pids: list[int] = []
        with pytest.raises(LedgerAway, match="must be called before any query"):
            await set_too_late(database, pids)
        async with database.snapshot() as connection:
            pids.append(await connection.fetchval(PID))
        await database.close()
    assert pids[0] != pids[1]
