"""One partition of history and blobs for each day on which executions started.

Made when the first row of a day is about to be written, dropped when the last execution that
started on that day is past its retention. An execution that runs for a year keeps its day's
partitions.
"""

from __future__ import annotations

from collections.abc import Iterable

from torpor.workflows.ledger.database import Database

PARTITIONED = ("history", "blob")
_LOCK = 7_237_970_107


class Days:
    """Which days have partitions."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made: set[int] = set()

    async def ensure(self, days: Iterable[int]) -> None:
        """Make the partitions of these days, unless they are there. Raises LedgerAway."""
        for day in sorted(set(days) - self._made):
            await self._make(day)
            self._made.add(day)

    async def _make(self, day: int) -> None:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            for table in PARTITIONED:
                name = f"{table}_{day}"
                if await connection.fetchval("SELECT to_regclass($1)::text", name) is not None:
                    continue
                # Attaching, unlike CREATE … PARTITION OF, lets others read and write meanwhile.
                await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
                await connection.execute(
                    f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES IN ({day})"
                )

    def forget(self) -> None:
        """Look again: another process may have dropped a day."""
        self._made.clear()

    async def drop_unused(self, today: int) -> int:
        """Drop the partitions of past days of which no execution is left; returns how many days."""
        days = await self._database.rows(
            "SELECT substr(c.relname, 9)::int AS day FROM pg_inherits i "
            "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'history'::regclass"
        )
        dropped = 0
        for (day,) in sorted(row for row in days if row["day"] < today):
            dropped += await self._drop(day)
        return dropped

    async def _drop(self, day: int) -> bool:
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            # Where many rows were of this day, the planner would read all until it finds one.
            await connection.execute("SET LOCAL enable_seqscan = off")
            used = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM execution WHERE day = $1)", day
            )
            if used:
                return False
            for table in PARTITIONED:
                await connection.execute(f"DROP TABLE IF EXISTS {table}_{day}")
        self._made.discard(day)
        return True
