"""Reading executions with their frontiers: what a process needs to go on with them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg

from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.ledger.base import NotFound, Owned, Posted, Stored
from torpor.workflows.ledger.codec import FrameRow, HeaderRow, Memory, ResultRow
from torpor.workflows.ledger.decoding import Outcome, Rows, decode
from torpor.workflows.ledger.keys import key_of
from torpor.workflows.ledger.mail import decode_event
from torpor.workflows.ledger.rows import execution_blobs, execution_of
from torpor.workflows.ledger.store import Store, read_blobs
from torpor.workflows.ledger.values import parse
from torpor.workflows.records import Execution

_AT_ONCE = 500
"""Executions that are read in one go."""


class Loading(Store):
    """Recovery: its cost follows the frontiers, never the histories."""

    async def load(self, owned: Sequence[Owned]) -> AsyncIterator[list[Stored]]:
        """Every running execution of these shards with its frontier, some at a time.

        Each part is read when it is asked for: what is not kept of it makes room for the next.
        """
        rows = await self._database.rows(
            "SELECT key FROM execution WHERE status = 'RUNNING' AND shard = ANY ($1::int[])",
            [one.shard for one in owned],
        )
        for at in range(0, len(rows), _AT_ONCE):
            async with self._database.snapshot() as connection:
                part = await self._read(
                    connection, [row["key"] for row in rows[at : at + _AT_ONCE]]
                )
            yield [stored for stored in part if stored.execution.status is Status.RUNNING]

    async def started(self, shards: Sequence[int]) -> list[Stored]:
        """The running executions of these shards of which no step was committed yet."""
        return await self._load_where(
            "SELECT key FROM fresh WHERE shard = ANY ($1::int[])", list(shards)
        )

    async def load_one(self, execution_arn: str) -> Stored:
        """One execution with its frontier, running or ended; raises NotFound."""
        async with self._database.snapshot() as connection:
            found = await self._read(connection, [key_of(execution_arn)])
        if not found:
            raise NotFound(f"execution {execution_arn}")
        return found[0]

    async def posted(self, shards: Sequence[int]) -> list[Posted]:
        """The events waiting in these shards' inboxes, oldest first."""
        rows = await self._database.rows(
            "SELECT id, execution_arn, event FROM inbox WHERE shard = ANY ($1::int[]) ORDER BY id",
            list(shards),
        )
        return [Posted(row["id"], row["execution_arn"], decode_event(row["event"])) for row in rows]

    async def discard(self, ids: Sequence[int]) -> None:
        """Take posted events away that come too late: nothing of their execution can run."""
        await self._database.value(
            "WITH late AS (DELETE FROM inbox WHERE id = ANY ($1::bigint[])) "
            "DELETE FROM activity_task WHERE taken = ANY ($1::bigint[])",
            list(ids),
        )

    async def _load_where(self, query: str, shards: list[int]) -> list[Stored]:
        loaded: list[Stored] = []
        async with self._database.snapshot() as connection:
            keys = [row["key"] for row in await connection.fetch(query, shards)]
            for at in range(0, len(keys), _AT_ONCE):
                loaded += await self._read(connection, keys[at : at + _AT_ONCE])
        return loaded

    async def _read(self, connection: asyncpg.Connection, keys: list[UUID]) -> list[Stored]:
        rows = await connection.fetch(
            "SELECT e.*, r.body AS machine FROM execution e LEFT JOIN revision r "
            "USING (machine_arn, revision_id) WHERE e.key = ANY ($1::uuid[])",
            keys,
        )
        frontiers = await _frontier_rows(connection, keys)
        wanted = {key for row in rows for key in execution_blobs(row)}
        for row in rows:
            if row["key"] in frontiers:
                wanted |= {(row["day"], digest) for digest in frontiers[row["key"]].digests()}
        bodies = await read_blobs(connection, wanted)
        machines: dict[bytes | None, tuple[str, str]] = {}
        loaded = []
        for row in rows:
            execution = execution_of(row, bodies)
            if row["machine"] not in machines:
                machines[row["machine"]] = _name_and_role(row["machine"], execution)
            mine = {digest: body for (day, digest), body in bodies.items() if day == row["day"]}
            stored = frontiers.get(row["key"])
            identity = _identity(execution, *machines[row["machine"]])
            frontier = self._decode(row["key"], stored, identity, execution, mine)
            loaded.append(Stored(execution, frontier))
        return loaded

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
    frames = await connection.fetch("SELECT * FROM frame WHERE key = ANY ($1::uuid[])", keys)
    for row in frames:
        if row["key"] in found:
            found[row["key"]].add_frame(FrameRow(*row[1:]))
    results = await connection.fetch("SELECT * FROM join_result WHERE key = ANY ($1::uuid[])", keys)
    for row in results:
        if row["key"] in found:
            found[row["key"]].add_result(ResultRow(*row[1:]))
    return found


def _header(row: Any) -> HeaderRow:
    return HeaderRow(row["next_frame"], row["next_ticket"], row["deadline"])


def _name_and_role(machine: bytes | None, execution: Execution) -> tuple[str, str]:
    if machine is None:
        return execution.machine_arn.rpartition(":")[2], ""
    document = parse(machine)
    return document["name"], document["role_arn"]


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
