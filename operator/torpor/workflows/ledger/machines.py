"""Definitions: machines with their revisions and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg

from torpor.workflows.ledger.base import AlreadyExists, LedgerError, NotFound
from torpor.workflows.ledger.definitions import NO_TAGS
from torpor.workflows.ledger.rows import machine_body, machine_of
from torpor.workflows.ledger.store import Store
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.records import Machine, MachineStatus, Page

_THERE = """(m.status = 'ACTIVE' OR EXISTS (
    SELECT FROM execution e WHERE e.machine_arn = m.arn AND e.status = 'RUNNING'))"""
"""A machine that is DELETING is there until its last running execution ended."""
_LATEST = (
    "SELECT m.*, r.body FROM machine m JOIN revision r "  # noqa: S608 - a constant
    "ON r.machine_arn = m.arn AND r.revision_id = m.revision_id WHERE " + _THERE
)
_STARTS = 1_953_460_850
"""The class of the advisory locks of a machine's starts (schema/0005_once.sql)."""


class Machines(Store):
    """What the API's calls on state machines read and write."""

    async def put_machine(
        self,
        machine: Machine,
        replaces: str | None = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> Machine:
        """Create a machine with these tags, or store the revision that follows `replaces`.

        Raises AlreadyExists when there is another machine or latest revision than that, NotFound
        when the machine to change is not there or is being deleted. Old revisions stay while used;
        the machine keeps its time of creation.
        """
        async with self._database.transaction() as connection:
            await _bury(connection, machine.arn)
            if replaces is None:
                created_at = await _created(connection, machine, tags)
            else:
                created_at = await _changed(connection, machine, replaces)
            stored = replace(machine, created_at=created_at, status=MachineStatus.ACTIVE)
            await connection.execute(
                "INSERT INTO revision (machine_arn, revision_id, updated_at, body) "
                "VALUES ($1, $2, $3, $4) ON CONFLICT (machine_arn, revision_id) DO UPDATE "
                "SET updated_at = EXCLUDED.updated_at, body = EXCLUDED.body",
                machine.arn,
                machine.revision_id,
                machine.updated_at,
                machine_body(stored),
            )
        return stored

    async def machine(self, arn: str) -> Machine:
        """The latest revision of a machine; raises NotFound."""
        row = await self._database.row(_LATEST + " AND m.arn = $1", arn)
        if row is None:
            raise NotFound(f"state machine {arn}")
        return machine_of(row["body"], row["status"])

    async def revision(self, machine_arn: str, revision_id: str) -> Machine:
        """One revision of a machine, also of a deleted one that still has executions."""
        row = await self._database.row(
            "SELECT r.body, m.status FROM revision r LEFT JOIN machine m ON m.arn = r.machine_arn "
            "WHERE r.machine_arn = $1 AND r.revision_id = $2",
            machine_arn,
            revision_id,
        )
        if row is None:
            raise NotFound(f"revision {revision_id} of state machine {machine_arn}")
        return machine_of(row["body"], row["status"] or MachineStatus.DELETING)

    async def machines(self, limit: int, token: str | None) -> Page[Machine]:
        """Machines by name."""
        place = place_of(token, str, str) or (None, None)
        rows = await self._database.rows(
            _LATEST + " AND ($1::text IS NULL OR (m.name, m.arn) > ($1, $2)) "
            "ORDER BY m.name, m.arn LIMIT $3",
            *place,
            limit + 1,
        )
        places = [(row["name"], row["arn"]) for row in rows]
        return page_of([machine_of(row["body"], row["status"]) for row in rows], limit, places)

    async def delete_machine(self, arn: str, latest: str | None = None) -> None:
        """Mark a machine DELETING; it is gone when its last running execution ended.

        Raises AlreadyExists when `latest` is given and is not its latest revision.
        """
        async with self._database.transaction() as connection:
            # Waits for the starts that are under way: what they start counts as running below.
            await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _STARTS, arn)
            marked = await connection.fetchval(
                "UPDATE machine SET status = 'DELETING' "
                "WHERE arn = $1 AND ($2::text IS NULL OR revision_id = $2) RETURNING true",
                arn,
                latest,
            )
            if not marked and latest is not None:
                raise await _in_the_way(connection, arn)
            await _bury(connection, arn)

    async def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a machine or activity; raises NotFound."""
        async with self._database.snapshot() as connection:
            return await _tags(connection, arn)

    async def set_tags(
        self, arn: str, add: Mapping[str, str], remove: Sequence[str]
    ) -> Mapping[str, str]:
        """Add and remove tags; returns those in force. Raises NotFound."""
        async with self._database.transaction() as connection:
            # What is being deleted takes the tags along that were there before.
            for table in ("machine", "activity"):
                await connection.execute(
                    f"SELECT FROM {table} WHERE arn = $1 FOR KEY SHARE",
                    arn,
                )
            await connection.execute(
                "DELETE FROM tag WHERE arn = $1 AND name = ANY ($2::text[])", arn, list(remove)
            )
            await add_tags(connection, arn, add)
            return await _tags(connection, arn)


async def _created(
    connection: asyncpg.Connection, machine: Machine, tags: Mapping[str, str]
) -> float:
    """Insert a machine; returns when it was created."""
    created_at: float | None = await connection.fetchval(
        "INSERT INTO machine (arn, name, status, revision_id, created_at) "
        "VALUES ($1, $2, 'ACTIVE', $3, $4) ON CONFLICT DO NOTHING RETURNING created_at",
        machine.arn,
        machine.name,
        machine.revision_id,
        machine.created_at,
    )
    if created_at is None:
        raise AlreadyExists(f"state machine {machine.arn}")
    await add_tags(connection, machine.arn, tags)
    return created_at


async def _changed(connection: asyncpg.Connection, machine: Machine, replaces: str) -> float:
    """Let a machine have another latest revision; returns when it was created."""
    created_at: float | None = await connection.fetchval(
        "UPDATE machine SET revision_id = $3 "
        "WHERE arn = $1 AND revision_id = $2 AND status = 'ACTIVE' RETURNING created_at",
        machine.arn,
        replaces,
        machine.revision_id,
    )
    if created_at is None:
        raise await _in_the_way(connection, machine.arn)
    return created_at


async def _in_the_way(connection: asyncpg.Connection, arn: str) -> LedgerError:
    """Why a machine with an expected latest revision was not found."""
    active = await connection.fetchval(
        "SELECT true FROM machine WHERE arn = $1 AND status = 'ACTIVE'", arn
    )
    if active:
        return AlreadyExists(f"state machine {arn} has another latest revision")
    return NotFound(f"state machine {arn}")


async def add_tags(connection: asyncpg.Connection, arn: str, tags: Mapping[str, str]) -> None:
    """Set these tags of a machine or activity."""
    if tags:
        await connection.execute(
            "INSERT INTO tag SELECT $1, * FROM unnest($2::text[], $3::text[]) "
            "ON CONFLICT (arn, name) DO UPDATE SET value = EXCLUDED.value",
            arn,
            list(tags),
            list(tags.values()),
        )


async def _bury(connection: asyncpg.Connection, arn: str) -> None:
    """Remove a machine that is DELETING and has no running execution; keep used revisions."""
    gone = await connection.fetchval(
        f"DELETE FROM machine m WHERE arn = $1 AND NOT {_THERE} RETURNING true",  # noqa: S608
        arn,
    )
    if not gone:
        return
    for table, column in (("version", "machine_arn"), ("alias", "machine_arn"), ("tag", "arn")):
        await connection.execute(f"DELETE FROM {table} WHERE {column} = $1", arn)  # noqa: S608
    await connection.execute(
        "DELETE FROM revision r WHERE machine_arn = $1 AND NOT EXISTS (SELECT FROM execution e "
        "WHERE e.machine_arn = r.machine_arn AND e.revision_id = r.revision_id)",
        arn,
    )


async def _tags(connection: asyncpg.Connection, arn: str) -> dict[str, str]:
    there = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM machine WHERE arn = $1) "
        "OR EXISTS (SELECT FROM activity WHERE arn = $1)",
        arn,
    )
    if not there:
        raise NotFound(f"resource {arn}")
    rows = await connection.fetch("SELECT name, value FROM tag WHERE arn = $1 ORDER BY name", arn)
    return {row["name"]: row["value"] for row in rows}
