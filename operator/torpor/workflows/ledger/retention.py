"""Deleting what is past its retention: rows of executions one by one, histories by the day."""

from __future__ import annotations

from torpor.workflows.ledger.keys import day_of
from torpor.workflows.ledger.store import Store

_DAY_SECONDS = 86_400.0
_DEFAULT_DAYS = 90
_AT_ONCE = 1_000

_EXPIRE = """
WITH retention AS MATERIALIZED (
    SELECT machine_arn, revision_id,
        (convert_from(body, 'UTF8')::jsonb -> 'options' ->> 'retention_days')::float8 AS days
    FROM revision
), old AS (
    SELECT e.key FROM execution e LEFT JOIN retention r USING (machine_arn, revision_id)
    WHERE e.status <> 'RUNNING' AND e.stopped_at < $1 - coalesce(r.days, $2) * 86400
    LIMIT $3
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


class Retention(Store):
    """Run `expire` now and then, in any one process."""

    async def expire(self, now: float) -> int:
        """Delete what is past its retention; returns how many executions went."""
        total = 0
        while True:
            gone: int = await self._database.value(_EXPIRE, now, float(_DEFAULT_DAYS), _AT_ONCE)
            total += gone
            if gone < _AT_ONCE:
                break
        # A revision of the last day may be about to get its first execution.
        await self._database.rows(_UNUSED_REVISIONS, now - _DAY_SECONDS)
        await self._database.rows("DELETE FROM owner WHERE live_until < now() - interval '1 day'")
        await self._days.drop_unused(day_of(now))
        return total
