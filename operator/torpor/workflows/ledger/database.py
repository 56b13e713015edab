"""The pool of connections: what PostgreSQL answers, in the ledger's errors.

Connections that broke are replaced when they are next needed. A statement has a deadline; so has
the wait for a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from torpor.workflows.ledger.base import LedgerAway, LedgerError

STATEMENT_SECONDS = 30.0
_MOST_CONNECTIONS = 10
_AWAY_STATES = ("08", "25001", "25006", "40", "53", "55P03", "57")
"""SQLSTATE prefixes: connection, a transaction open on it that nobody began, read-only standby,
rollback, resources, lock, shutdown."""


class Database:
    """Connections to one database. Every method raises LedgerAway when it cannot be reached."""

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn

    async def close(self) -> None:
        """Close all connections, within a deadline."""
        try:
            async with asyncio.timeout(STATEMENT_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in a transaction that ends with the block."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection whose statements all see the same moment."""
        async with (
            self._connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        """The rows of a statement that is a transaction of its own."""
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def row(self, statement: str, *arguments: object) -> Any:
        """The first row of a statement, None without one."""
        async with self._connection() as connection:
            return await connection.fetchrow(statement, *arguments)

    async def value(self, statement: str, *arguments: object) -> Any:
        """The first column of the first row, None without one."""
        async with self._connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def script(self, statements: Sequence[str]) -> None:
        """Run statements one by one, each a transaction of its own."""
        async with self._connection() as connection:
            for statement in statements:
                await connection.execute(statement)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        with translated():
            async with self._pool.acquire(timeout=STATEMENT_SECONDS) as connection:
                with _ended_if_in_doubt(connection):
                    yield connection


async def open_database(dsn: str) -> Database:
    """Connect; raises LedgerAway."""
    with translated():
        pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=_MOST_CONNECTIONS,
            timeout=STATEMENT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            reset=_nothing_to_reset,
        )
    return Database(pool, dsn)


async def _nothing_to_reset(connection: object) -> None:
    """No session state is ever left on a pooled connection, so the usual round trip is saved."""


@contextmanager
def _ended_if_in_doubt(connection: asyncpg.Connection) -> Iterator[None]:
    """End a connection that is not in the state it was taken for: nobody is given it again.

    A transaction that is open although nobody began it (25001, or asyncpg's own InterfaceError)
    would fail whoever gets the connection next in the same way, or take in what they write.
    """
    try:
        yield
    except (asyncpg.ActiveSQLTransactionError, asyncpg.InterfaceError):
        connection.terminate()
        raise


@contextmanager
def translated() -> Iterator[None]:
    """PostgreSQL's and the network's errors as the ledger's."""
    try:
        yield
    except asyncpg.InvalidCachedStatementError as error:  # a migration; the cache is empty by now
        raise LedgerAway(f"PostgreSQL: {error}") from error
    except asyncpg.PostgresError as error:
        state = getattr(error, "sqlstate", None) or ""
        if state.startswith(_AWAY_STATES):
            raise LedgerAway(f"PostgreSQL: {error}") from error
        raise LedgerError(f"PostgreSQL: {state} {error}") from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError) as error:
        raise LedgerAway(
            f"PostgreSQL cannot be reached: {error or type(error).__name__}"
        ) from error
