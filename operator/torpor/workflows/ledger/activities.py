"""Activities: names that workers poll for tasks, and the tasks that wait for a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from torpor.workflows.asl.events import ActivityStarted
from torpor.workflows.asl.frontier import Phase
from torpor.workflows.ledger.base import ActivityTask, LedgerAway, NotFound
from torpor.workflows.ledger.definitions import NO_TAGS
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.machines import add_tags
from torpor.workflows.ledger.mail import encode_event
from torpor.workflows.ledger.rows import activity_of
from torpor.workflows.ledger.store import Store
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.ledger.values import encode_text, stored_payload
from torpor.workflows.records import Activity, Page

_OFFER = """
WITH new AS (
    INSERT INTO activity_task (key, frame, ticket, activity, execution_arn, shard, input)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING activity
)
SELECT pg_notify('torpor_news', activity::text) FROM new
"""
_OLDEST = """
SELECT t.*, EXISTS (
    SELECT FROM frame f WHERE f.key = t.key AND f.frame = t.frame AND f.phase = $2
) AS wanted
FROM activity_task t WHERE t.activity = $1 AND t.taken IS NULL
ORDER BY t.id LIMIT 1 FOR UPDATE OF t SKIP LOCKED
"""
_POST = "INSERT INTO inbox (shard, execution_arn, event) VALUES ($1, $2, $3) RETURNING id"
_TAKEN = """
WITH taken AS (
    UPDATE activity_task SET taken = $4 WHERE key = $1 AND frame = $2 AND ticket = $3
    RETURNING shard
)
SELECT pg_notify('torpor_work', shard::text) FROM taken
"""
_DROP = "DELETE FROM activity_task WHERE key = $1 AND frame = $2 AND ticket = $3"
_OUTCOME = "SELECT pg_xact_status($1::text::xid8)"
_IN_PROGRESS = "in progress"
_OUTCOME_SECONDS = 30.0
"""How long PostgreSQL may be away before a task that may have been taken is given up."""
_OUTCOME_PAUSE_SECONDS = 0.5


class Activities(Store):
    """What the API's calls on activities read and write."""

    async def put_activity(self, activity: Activity, tags: Mapping[str, str] = NO_TAGS) -> Activity:
        """Create an activity with these tags; the same name again is the same activity."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                "INSERT INTO activity (arn, name, created_at) VALUES ($1, $2, $3) "
                "ON CONFLICT (arn) DO UPDATE SET name = activity.name "
                "RETURNING *, xmax = 0 AS is_new",
                activity.arn,
                activity.name,
                activity.created_at,
            )
            if row["is_new"]:
                await add_tags(connection, activity.arn, tags)
        return activity_of(row)

    async def activity(self, arn: str) -> Activity:
        """One activity; raises NotFound."""
        row = await self._database.row("SELECT * FROM activity WHERE arn = $1", arn)
        if row is None:
            raise NotFound(f"activity {arn}")
        return activity_of(row)

    async def activities(self, limit: int, token: str | None) -> Page[Activity]:
        """Activities by name."""
        place = place_of(token, str, str) or (None, None)
        rows = await self._database.rows(
            "SELECT * FROM activity WHERE $1::text IS NULL OR (name, arn) > ($1, $2) "
            "ORDER BY name, arn LIMIT $3",
            *place,
            limit + 1,
        )
        places = [(row["name"], row["arn"]) for row in rows]
        return page_of([activity_of(row) for row in rows], limit, places)

    async def delete_activity(self, arn: str) -> None:
        """Delete an activity and its tags."""
        async with self._database.transaction() as connection:
            await connection.execute("DELETE FROM activity WHERE arn = $1", arn)
            await connection.execute("DELETE FROM tag WHERE arn = $1", arn)

    async def offer(self, activity_arn: str, task: ActivityTask) -> None:
        """Let workers have a task; offering it again is harmless."""
        await self._database.rows(
            _OFFER,
            key_of(task.execution_arn),
            task.frame,
            task.ticket,
            key_of(activity_arn),
            task.execution_arn,
            self.shard_of(task.execution_arn),
            encode_text(task.input.text),
        )

    async def take(self, activity_arn: str, worker: str | None) -> ActivityTask | None:
        """The oldest task on offer, which nobody else gets; None when there is none.

        When the answer to the last word is lost, PostgreSQL is asked again what became of it: a
        task that was taken would otherwise be nobody's until its time-out.
        """
        activity = key_of(activity_arn)
        while True:
            last: _Taking | None = None
            try:
                async with self._database.transaction() as connection:
                    row = await connection.fetchrow(_OLDEST, activity, Phase.TASK.value)
                    if row is None:
                        return None
                    if row["wanted"]:
                        last = await _taking(connection, row, worker)
                    else:  # its wait ended before a worker came
                        await connection.execute(_DROP, row["key"], row["frame"], row["ticket"])
            except LedgerAway:
                if last is None or not await self._was_taken(last):
                    raise
            if last is not None:
                return last.task

    async def _was_taken(self, last: _Taking) -> bool:
        """Whether the transaction took place; raises LedgerAway when that is not to be known."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _OUTCOME_SECONDS
        while True:
            try:
                status = await self._database.value(_OUTCOME, last.transaction)
            except LedgerAway:
                if loop.time() >= deadline:
                    raise
                status = _IN_PROGRESS
            if status != _IN_PROGRESS:
                return bool(status == "committed")
            if loop.time() >= deadline:
                raise LedgerAway("PostgreSQL still has the transaction that took a task")
            await asyncio.sleep(_OUTCOME_PAUSE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Taking:
    """A task that is being taken, and the transaction that does it."""

    task: ActivityTask
    transaction: str


async def _taking(connection: asyncpg.Connection, row: Any, worker: str | None) -> _Taking:
    arn, frame, ticket = row["execution_arn"], row["frame"], row["ticket"]
    event = encode_event(ActivityStarted(frame, ticket, worker))
    id = await connection.fetchval(_POST, row["shard"], arn, event)
    await connection.execute(_TAKEN, row["key"], frame, ticket, id)
    task = ActivityTask(arn, frame, ticket, stored_payload(row["input"]))
    return _Taking(task, await connection.fetchval("SELECT pg_current_xact_id()::text"))
