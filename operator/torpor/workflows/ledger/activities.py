"""Activities: names that workers poll for tasks, and the tasks that wait for a worker."""

from __future__ import annotations

from typing import Any

import asyncpg

from torpor.workflows.asl.events import ActivityStarted
from torpor.workflows.asl.frontier import Phase
from torpor.workflows.ledger.base import ActivityTask, NotFound
from torpor.workflows.ledger.keys import key_of
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


class Activities(Store):
    """What the API's calls on activities read and write."""

    async def put_activity(self, activity: Activity) -> Activity:
        """Create an activity; the same name again is the same activity."""
        row = await self._database.row(
            "INSERT INTO activity (arn, name, created_at) VALUES ($1, $2, $3) "
            "ON CONFLICT (arn) DO UPDATE SET name = activity.name RETURNING *",
            activity.arn,
            activity.name,
            activity.created_at,
        )
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
        """The oldest task on offer, which nobody else gets; None when there is none."""
        activity = key_of(activity_arn)
        while True:
            async with self._database.transaction() as connection:
                row = await connection.fetchrow(_OLDEST, activity, Phase.TASK.value)
                if row is None:
                    return None
                if row["wanted"]:
                    return await _taken(connection, row, worker)
                # Its wait ended before a worker came.
                await connection.execute(_DROP, row["key"], row["frame"], row["ticket"])


async def _taken(connection: asyncpg.Connection, row: Any, worker: str | None) -> ActivityTask:
    arn, frame, ticket = row["execution_arn"], row["frame"], row["ticket"]
    event = encode_event(ActivityStarted(frame, ticket, worker))
    id = await connection.fetchval(_POST, row["shard"], arn, event)
    await connection.execute(_TAKEN, row["key"], frame, ticket, id)
    return ActivityTask(arn, frame, ticket, stored_payload(row["input"]))
