"""Reading executions, their history and their Map Runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.ledger.children import child_execution, run_of_child
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.rows import (
    event_blobs,
    event_of,
    execution_blobs,
    execution_of,
    map_run_of,
)
from torpor.workflows.ledger.store import Store, read_blobs
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.ledger.values import parse
from torpor.workflows.records import Execution, HistoryRow, MapRunSummary, Page

_MAP_RUNS = """
SELECT r.*, e.arn AS execution_arn, e.machine_arn, e.redrive_count, c.succeeded, c.failed, c.running
FROM map_run r JOIN execution e ON e.key = r.execution, LATERAL (
    SELECT count(*) FILTER (WHERE status = 'SUCCEEDED') AS succeeded,
        count(*) FILTER (WHERE status IN ('FAILED', 'TIMED_OUT', 'ABORTED')) AS failed,
        count(*) FILTER (WHERE status = 'RUNNING') AS running
    FROM map_child WHERE run = r.key
) AS c
"""
_CHILDREN = """
SELECT m.index, m.status, m.started_at, m.stopped_at, r.arn AS run_arn, r.day,
    e.machine_arn, e.revision_id, e.shard, e.arn AS parent_arn
FROM map_child m JOIN map_run r ON r.key = m.run JOIN execution e ON e.key = r.execution
"""
# LATERAL: of each machine by the index, and nothing of the others.
_COUNTS = """
SELECT m.arn, c.status, c.count FROM unnest($1::text[]) AS m (arn), LATERAL (
    SELECT status, count(*) FROM execution WHERE machine_arn = m.arn GROUP BY status
) AS c
"""
_EVENTS = """
SELECT id, previous, type, at, details, large FROM history WHERE day = $1 AND key = $2
"""
_OLDEST_EVENTS = _EVENTS + "AND ($3::int IS NULL OR id > $3) ORDER BY id LIMIT $4"
_NEWEST_EVENTS = _EVENTS + "AND ($3::int IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"


class Listing(Store):
    """What DescribeExecution, ListExecutions, GetExecutionHistory and their like read."""

    async def execution(self, arn: str) -> Execution:
        """One execution, or a Map Run's child; raises NotFound."""
        async with self._database.snapshot() as connection:
            row = await connection.fetchrow("SELECT * FROM execution WHERE key = $1", key_of(arn))
            if row is not None:
                return execution_of(row, await read_blobs(connection, execution_blobs(row)))
            return await _child(connection, arn)

    async def executions(
        self,
        machine_arn: str | None,
        status: Status | None,
        limit: int,
        token: str | None,
        map_run_arn: str | None = None,
        redriven: bool | None = None,
    ) -> Page[Execution]:
        """Executions, newest first. Inputs and outputs above 4 KiB are left empty."""
        if map_run_arn is not None:
            return await self._children(map_run_arn, status, limit, token)
        place = place_of(token, float, str) or (None, None)
        rows = await self._database.rows(
            "SELECT * FROM execution WHERE ($1::text IS NULL OR machine_arn = $1) "
            "AND ($2::text IS NULL OR status = $2) "
            "AND ($3::bool IS NULL OR (redrive_count > 0) = $3) "
            "AND ($4::float8 IS NULL OR (started_at, key) < ($4, $5)) "
            "ORDER BY started_at DESC, key DESC LIMIT $6",
            machine_arn,
            status,
            redriven,
            place[0],
            _uuid(place[1]),
            limit + 1,
        )
        places = [(row["started_at"], str(row["key"])) for row in rows]
        return page_of([execution_of(row, _Absent()) for row in rows], limit, places)

    async def _children(
        self, run_arn: str, status: Status | None, limit: int, token: str | None
    ) -> Page[Execution]:
        place = place_of(token, int)
        rows = await self._database.rows(
            _CHILDREN + "WHERE m.run = $1 AND ($2::text IS NULL OR m.status = $2) "
            "AND ($3::int IS NULL OR m.index < $3) ORDER BY m.index DESC LIMIT $4",
            key_of(run_arn),
            status,
            place[0] if place else None,
            limit + 1,
        )
        places = [(row["index"],) for row in rows]
        return page_of([child_execution(row, {}) for row in rows], limit, places)

    async def history(
        self, execution_arn: str, limit: int, token: str | None, newest_first: bool
    ) -> Page[HistoryRow]:
        """The history of an execution, or of a Map Run's child; raises NotFound."""
        place = place_of(token, int)
        async with self._database.snapshot() as connection:
            day = await _day_of(connection, execution_arn)
            rows = await connection.fetch(
                _NEWEST_EVENTS if newest_first else _OLDEST_EVENTS,
                day,
                key_of(execution_arn),
                place[0] if place else None,
                limit + 1,
            )
            keys = [key for row in rows[:limit] for key in event_blobs(day, row)]
            bodies = await read_blobs(connection, keys)
        places = [(row["id"],) for row in rows]
        events = [event_of(day, row, bodies) for row in rows[:limit]]
        page = page_of(places, limit, places)
        return Page(tuple(events), page.next_token)

    async def counts(self, machine_arn: str) -> Mapping[Status, int]:
        """How many executions of a machine have each status."""
        return (await self.counts_of([machine_arn]))[machine_arn]

    async def counts_of(self, machine_arns: Sequence[str]) -> Mapping[str, Mapping[Status, int]]:
        """The same of several machines at once."""
        counts: dict[str, dict[Status, int]] = {arn: {} for arn in machine_arns}
        for row in await self._database.rows(_COUNTS, list(machine_arns)):
            counts[row["arn"]][Status(row["status"])] = row["count"]
        return counts

    async def map_runs(self, execution_arn: str) -> list[MapRunSummary]:
        """The Map Runs of an execution, oldest first."""
        rows = await self._database.rows(
            _MAP_RUNS + "WHERE r.execution = $1 ORDER BY r.started_at, r.arn", key_of(execution_arn)
        )
        return [map_run_of(row) for row in rows]

    async def map_run(self, arn: str) -> MapRunSummary:
        """One Map Run; raises NotFound."""
        row = await self._database.row(_MAP_RUNS + "WHERE r.key = $1", key_of(arn))
        if row is None:
            raise NotFound(f"Map Run {arn}")
        found = map_run_of(row)
        if not row["redrive_count"]:
            return found
        events = await self._database.rows(
            _EVENTS + "AND type = 'MapRunRedriven' ORDER BY id", row["day"], row["execution"]
        )
        redrives = [one["at"] for one in events if parse(one["details"])["mapRunArn"] == arn]
        redriven_at = redrives[-1] if redrives else None
        return replace(found, redrive_count=len(redrives), redriven_at=redriven_at)


class _Absent(dict[Any, Payload]):
    """Large payloads are not read for a listing, which does not show them."""

    def __missing__(self, key: Any) -> Payload:
        return Payload(None)


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


async def _child(connection: asyncpg.Connection, arn: str) -> Execution:
    run_arn, index = run_of_child(arn)
    row = await connection.fetchrow(
        _CHILDREN + "WHERE m.run = $1 AND m.index = $2", key_of(run_arn), index
    )
    if row is None:
        raise NotFound(f"execution {arn}")
    events = await connection.fetch(
        _EVENTS
        + "AND type IN ('ExecutionStarted', 'ExecutionSucceeded', 'ExecutionFailed') ORDER BY id",
        row["day"],
        key_of(arn),
    )
    keys = [key for event in events for key in event_blobs(row["day"], event)]
    bodies = await read_blobs(connection, keys)
    details: dict[str, Any] = {}
    for event in events:
        details.update(event_of(row["day"], event, bodies).details)
    return child_execution(row, details)


async def _day_of(connection: asyncpg.Connection, arn: str) -> int:
    day = await connection.fetchval("SELECT day FROM execution WHERE key = $1", key_of(arn))
    if day is None:
        run_arn, _ = run_of_child(arn)
        day = await connection.fetchval("SELECT day FROM map_run WHERE key = $1", key_of(run_arn))
    if day is None:
        raise NotFound(f"execution {arn}")
    found: int = day
    return found
