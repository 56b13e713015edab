"""The ledger in PostgreSQL (14 or newer): the one implementation of `ledger.base.Ledger`.

Open it with `open_ledger(dsn)`. Its parts: shards (who owns what), commits (group commit), loading
(recovery), listing, machines, activities, retention.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager

from torpor.workflows.ledger.activities import Activities
from torpor.workflows.ledger.base import SHARDS, Admitted
from torpor.workflows.ledger.commits import Commits
from torpor.workflows.ledger.database import open_database
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.loading import Loading
from torpor.workflows.ledger.machines import Machines
from torpor.workflows.ledger.migrations import migrate
from torpor.workflows.ledger.retention import Retention
from torpor.workflows.ledger.shards import Shards
from torpor.workflows.ledger.versions import Versions

_LOOK_SECONDS = 5.0
_WAITING = """
SELECT DISTINCT shard FROM inbox WHERE shard = ANY ($1::int[])
UNION SELECT DISTINCT shard FROM fresh WHERE shard = ANY ($1::int[]) AND NOT waits
"""


class PostgresLedger(Commits, Loading, Shards, Machines, Versions, Activities, Retention):
    """All of the ledger. Use it inside the event loop that opened it."""

    def start(self) -> None:
        """Begin to write and to listen."""
        self._start_writing()
        self._notices.start()

    async def close(self) -> None:
        """Stop; writes that are still waiting get LedgerAway."""
        await self._notices.stop()
        await self._stop_writing()
        await self._database.close()

    async def wait_for_work(self, shards: Sequence[int], timeout_seconds: float) -> set[int]:
        """Wait until an execution is started in, or an event posted to, one of these shards.

        Returns the shards that have something; empty at the time-out.
        """
        wanted, deadline = set(shards), time.monotonic() + timeout_seconds
        while True:
            if self._notices.must_look():
                found = await self._look(wanted)
                if found:
                    return found
            announced = self._notices.take(wanted)
            left = deadline - time.monotonic()
            if announced or left <= 0:
                return announced
            if not await self._notices.wait(min(left, _LOOK_SECONDS)):
                found = await self._look(wanted)
                if found:
                    return found

    def news(self, subject: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set whenever there may be news of a subject, until the block ends."""
        return self._notices.listening(subject)

    async def admit(self, lane: str, most: int, entering: Sequence[tuple[str, float]]) -> Admitted:
        """Let the executions that wait longest in a lane have its free places."""
        row = await self._database.row(
            "SELECT * FROM torpor_places($1, $2, $3, $4, $5)",
            key_of(lane),
            most,
            [key_of(arn) for arn, _ in entering],
            [arn for arn, _ in entering],
            [at for _, at in entering],
        )
        return Admitted(frozenset(row["placed"]), row["waiting"])

    async def _look(self, shards: set[int]) -> set[int]:
        return {shard for (shard,) in await self._database.rows(_WAITING, sorted(shards))}


@asynccontextmanager
async def open_ledger(dsn: str, shards: int = SHARDS) -> AsyncIterator[PostgresLedger]:
    """A ledger for the length of a block; a new one gets `shards` virtual shards.

    Raises LedgerAway, and LedgerError when PostgreSQL is too old.
    """
    database = await open_database(dsn)
    try:
        count = await migrate(database, shards)
    except BaseException:
        await database.close()
        raise
    ledger = PostgresLedger(database, count)
    ledger.start()
    try:
        yield ledger
    finally:
        await asyncio.shield(ledger.close())
