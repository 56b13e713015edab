"""Reading executions with their frontiers: what a process needs to go on with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import (
    LedgerError,
    NotFound,
    Owned,
    Posted,
    Stored,
)
from torpor.workflows.ledger.codec import FrameRow, HeaderRow, Memory, ResultRow
from torpor.workflows.ledger.decoding import Outcome, Rows, decode
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.mail import decode_event
from torpor.workflows.ledger.rows import Bodies, execution_blobs, execution_of
from torpor.workflows.ledger.store import Store, read_blobs
from torpor.workflows.ledger.values import parse
from torpor.workflows.records import Execution

_AT_ONCE = 500
"""Executions that are read in one go."""
_FRESH = "SELECT key FROM fresh WHERE shard = ANY ($1::int[]) AND NOT waits"
_RUNNING = """
SELECT e.key FROM execution e WHERE e.status = 'RUNNING' AND e.shard = ANY ($1::int[])
    AND NOT EXISTS (SELECT FROM fresh f WHERE f.key = e.key AND f.waits)
UNION ALL (
    SELECT DISTINCT ON (l.lane) l.key FROM fresh f JOIN lane_place l USING (key)
    WHERE f.shard = ANY ($1::int[]) AND f.waits
)
"""
# LATERAL with a LIMIT: for each revision by its key, and never all revisions that there are.
_MACHINES = """
SELECT w.machine_arn, w.revision_id, r.body FROM unnest($1::text[], $2::text[])
    AS w (machine_arn, revision_id),
    LATERAL (
        SELECT body FROM revision r
        WHERE r.machine_arn = w.machine_arn AND r.revision_id = w.revision_id LIMIT 1
    ) AS r
"""
# By name: a later release may have added columns.
_FRAMES = "SELECT key, frame, phase, due, body FROM frame WHERE key = ANY ($1::uuid[])"
_RESULTS = "SELECT key, frame, index, body FROM join_result WHERE key = ANY ($1::uuid[])"

_Names = dict[tuple[str, str], tuple[str, str]]


class Loading(Store):
    """Recovery: its cost follows the frontiers, never the histories."""

    async def load(self, owned: Sequence[Owned]) -> AsyncIterator[list[Stored]]:
        """The running executions of these shards with their frontiers, some at a time.

        Each part is read when it is asked for: what is not kept of it makes room for the next. Of
        those that wait for a place in a lane there is one for each lane.
        """
        async for part in self._parts(_RUNNING, [one.shard for one in owned]):
            yield part

    async def started(self, shards: Sequence[int]) -> AsyncIterator[list[Stored]]:
        """The running executions of these shards of which no step was committed yet, in parts.

        Those that wait for a place in a lane are not among them.
        """
        async for part in self._parts(_FRESH, list(shards)):
            yield part

    async def load_one(self, execution_arn: str) -> Stored:
        """One execution with its frontier, running or ended; raises NotFound."""
        try:
            found = await self._read([key_of(execution_arn)])
        except LedgerError:
            raise
        except Exception as error:
            raise LedgerError(f"execution {execution_arn} cannot be read: {error!r}") from error
        if not found:
            raise NotFound(f"execution {execution_arn}")
        return found[0]

    async def posted(self, shards: Sequence[int]) -> list[Posted]:
        """The events waiting in these shards' inboxes, oldest first.

        One that cannot be read stays there: another release wrote it, and one that can will take
        the shard.
        """
        rows = await self._database.rows(
            "SELECT id, execution_arn, event FROM inbox WHERE shard = ANY ($1::int[]) ORDER BY id",
            list(shards),
        )
        read = []
        for row in rows:
            try:
                read.append(Posted(row["id"], row["execution_arn"], decode_event(row["event"])))
            except LedgerError as error:
                self._unread.leave(row["id"], error)
        return read

    async def discard(self, ids: Sequence[int]) -> None:
        """Take posted events away that come too late: nothing of their execution can run."""
        await self._database.value(
            "WITH late AS (DELETE FROM inbox WHERE id = ANY ($1::bigint[])) "
            "DELETE FROM activity_task WHERE taken = ANY ($1::bigint[])",
            list(ids),
        )

    async def _parts(self, query: str, shards: list[int]) -> AsyncIterator[list[Stored]]:
        """The executions whose keys a query gives, as far as they still run."""
        keys = [row["key"] for row in await self._database.rows(query, shards)]
        for at in range(0, len(keys), _AT_ONCE):
            part = await self._readable(keys[at : at + _AT_ONCE])
            yield [stored for stored in part if stored.execution.status is Status.RUNNING]

    async def _readable(self, keys: list[UUID]) -> list[Stored]:
        """Those of these executions that this release can read; the others hold up none of them.

        An error of the database is none of theirs: it is raised.
        """
        try:
            return await self._read(keys)
        except LedgerError:
            raise
        except Exception as error:
            if len(keys) == 1:
                self._unread.leave(keys[0], error)
                return []
        half = len(keys) // 2
        return await self._readable(keys[:half]) + await self._readable(keys[half:])

    async def _read(self, keys: list[UUID]) -> list[Stored]:
        async with self._database.snapshot() as connection:
            return await self._read_with(connection, keys)

    async def _read_with(self, connection: asyncpg.Connection, keys: list[UUID]) -> list[Stored]:
        rows = await connection.fetch("SELECT * FROM execution WHERE key = ANY ($1::uuid[])", keys)
        names = await _names(connection, rows)
        frontiers = await _frontier_rows(connection, keys)
        wanted = {key for row in rows for key in execution_blobs(row)}
        for row in rows:
            if row["key"] in frontiers:
                wanted |= {(row["day"], digest) for digest in frontiers[row["key"]].digests()}
        bodies = await read_blobs(connection, wanted)
        return [self._stored(row, names, frontiers.get(row["key"]), bodies) for row in rows]

    def _stored(self, row: Any, names: _Names, frontier: Rows | None, bodies: Bodies) -> Stored:
        execution = execution_of(row, bodies)
        name, role_arn = names.get(_revision(row), _unknown(execution))
        mine = {digest: body for (day, digest), body in bodies.items() if day == row["day"]}
        identity = _identity(execution, name, role_arn)
        return Stored(execution, self._decode(row["key"], frontier, identity, execution, mine))

    def _decode(
        self,
        key: UUID,
        stored: Rows | None,
        identity: Identity,
        execution: Execution,
        bodies: dict[bytes, Payload],
    ) -> Frontier | None:
        if stored is None:
            return None
        outcome = Outcome(
            execution.status,
            execution.output,
            execution.error,
            execution.cause,
            execution.redrive_count,
        )
        frontier, memory = decode(stored, identity, outcome, bodies)
        self._memories[key] = _joined(self._memories.get(key), memory)
        return frontier


def _joined(known: Memory | None, read: Memory) -> Memory:
    """A commit may be under way while its execution is read: what it knows counts too."""
    if known is None:
        return read
    return replace(read, joined=read.joined | known.joined, runs={**read.runs, **known.runs})


async def _frontier_rows(connection: asyncpg.Connection, keys: list[UUID]) -> dict[UUID, Rows]:
    headers = await connection.fetch("SELECT * FROM frontier WHERE key = ANY ($1::uuid[])", keys)
    found = {row["key"]: Rows(_header(row)) for row in headers}
    frames = await connection.fetch(_FRAMES, keys)
    for row in frames:
        if row["key"] in found:
            found[row["key"]].add_frame(FrameRow(*row[1:]))
    results = await connection.fetch(_RESULTS, keys)
    for row in results:
        if row["key"] in found:
            found[row["key"]].add_result(ResultRow(*row[1:]))
    return found


def _header(row: Any) -> HeaderRow:
    return HeaderRow(row["next_frame"], row["next_ticket"], row["deadline"])


def _revision(row: Any) -> tuple[str, str]:
    return row["machine_arn"], row["revision_id"]


async def _names(connection: asyncpg.Connection, rows: Iterable[Any]) -> _Names:
    """Name and role of the machines of executions, by revision."""
    wanted = sorted({_revision(row) for row in rows})
    found = await connection.fetch(_MACHINES, [arn for arn, _ in wanted], [id for _, id in wanted])
    documents = {_revision(row): parse(row["body"]) for row in found}
    return {of: (one["name"], one["role_arn"]) for of, one in documents.items()}


def _unknown(execution: Execution) -> tuple[str, str]:
    """Name and role where the revision is gone."""
    return execution.machine_arn.rpartition(":")[2], ""


def _identity(execution: Execution, machine_name: str, role_arn: str) -> Identity:
    return Identity(
        execution.arn,
        execution.name,
        role_arn,
        execution.machine_arn,
        machine_name,
        execution.started_at,
        execution.input,
    )
