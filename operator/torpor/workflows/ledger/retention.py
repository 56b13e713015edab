"""Deleting what is past its retention: rows of executions one by one, histories by the day."""

from __future__ import annotations

from torpor.workflows.ledger.keys import day_of
from torpor.workflows.ledger.store import Store

_DAY_SECONDS = 86_400.0
_DEFAULT_DAYS = 90
_AT_ONCE = 1_000
_LOCK = 7_237_970_107

# For a thousand rows the planner would rather read all executions that there are.
_BY_INDEX = """
SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off
"""
_EXPIRE = """
WITH old AS (
    SELECT e.key FROM execution e
    -- The first condition is the index's: nothing younger than the shortest retention is looked at.
    WHERE e.status <> 'RUNNING'
        AND e.stopped_at < $1 - least($2, (SELECT min(retention_days) FROM revision)) * 86400
        AND e.stopped_at < $1 - 86400 * coalesce(
            (SELECT r.retention_days FROM revision r
                WHERE r.machine_arn = e.machine_arn AND r.revision_id = e.revision_id), $2)
    ORDER BY e.stopped_at LIMIT $3
), frontiers AS (DELETE FROM frontier USING old WHERE frontier.key = old.key),
frames AS (DELETE FROM frame USING old WHERE frame.key = old.key),
results AS (DELETE FROM join_result USING old WHERE join_result.key = old.key),
activities AS (DELETE FROM activity_task USING old WHERE activity_task.key = old.key),
starts AS (DELETE FROM fresh USING old WHERE fresh.key = old.key),
runs AS (DELETE FROM map_run USING old WHERE map_run.execution = old.key RETURNING map_run.key),
children AS (DELETE FROM map_child USING runs WHERE map_child.run = runs.key),
gone AS (DELETE FROM execution USING old WHERE execution.key = old.key RETURNING 1)
SELECT count(*) FROM gone
"""
_UNUSED_REVISIONS = """
DELETE FROM revision r WHERE r.updated_at < $1
AND NOT EXISTS (SELECT FROM machine m WHERE m.arn = r.machine_arn AND m.revision_id = r.revision_id)
AND NOT EXISTS (
    SELECT FROM version v WHERE v.machine_arn = r.machine_arn AND v.revision_id = r.revision_id)
AND NOT EXISTS (
    SELECT FROM execution e WHERE e.machine_arn = r.machine_arn AND e.revision_id = r.revision_id)
"""
_UNUSED_OWNERS = "DELETE FROM owner WHERE live_until < now() - interval '1 day'"


class Retention(Store):
    """Run `expire` now and then, in any process: of several at once, one does it."""

    async def expire(self, now: float) -> int:
        """Delete what is past its retention; returns how many executions went."""
        total = 0
        while True:
            gone = await self._expire_some(now)
            total += gone or 0
            if gone is None:
                return total
            if gone < _AT_ONCE:
                break
        await self._days.drop_unused(day_of(now))
        return total

    async def _expire_some(self, now: float) -> int | None:
        """Delete a thousand executions, after the last ones also what nothing uses any more.

        None while another process does.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
                return None
            await connection.execute(_BY_INDEX)
            gone: int = await connection.fetchval(_EXPIRE, now, float(_DEFAULT_DAYS), _AT_ONCE)
            if gone < _AT_ONCE:
                # A revision of the last day may be about to get its first execution.
                await connection.execute(_UNUSED_REVISIONS, now - _DAY_SECONDS)
                await connection.execute(_UNUSED_OWNERS)
        return gone
