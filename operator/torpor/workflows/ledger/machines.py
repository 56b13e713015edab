"""Definitions: machines with their revisions, versions, aliases and tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import asyncpg

from torpor.workflows.asl.payload import json_text
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.ledger.rows import (
    alias_of,
    machine_body,
    machine_of,
    version_of,
)
from torpor.workflows.ledger.store import Store
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.records import Alias, Machine, MachineStatus, MachineVersion, Page

_THERE = """(m.status = 'ACTIVE' OR EXISTS (
    SELECT FROM execution e WHERE e.machine_arn = m.arn AND e.status = 'RUNNING'))"""
"""A machine that is DELETING is there until its last running execution ended."""
_LATEST = (
    "SELECT m.*, r.body FROM machine m JOIN revision r "  # noqa: S608 - a constant
    "ON r.machine_arn = m.arn AND r.revision_id = m.revision_id WHERE " + _THERE
)


class Machines(Store):
    """What the API's calls on state machines read and write."""

    async def put_machine(self, machine: Machine) -> Machine:
        """Create a machine, or store a new revision of it; old revisions stay while used.

        A new revision of an existing machine keeps the machine's time of creation.
        """
        async with self._database.transaction() as connection:
            await _bury(connection, machine.arn)
            created_at = await connection.fetchval(
                "INSERT INTO machine (arn, name, status, revision_id, created_at) "
                "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (arn) DO UPDATE "
                "SET revision_id = EXCLUDED.revision_id, status = EXCLUDED.status "
                "RETURNING created_at",
                machine.arn,
                machine.name,
                machine.status,
                machine.revision_id,
                machine.created_at,
            )
            stored = replace(machine, created_at=created_at)
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

    async def delete_machine(self, arn: str) -> None:
        """Mark a machine DELETING; it is gone when its last running execution ended."""
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE machine SET status = 'DELETING' WHERE arn = $1", arn)
            await _bury(connection, arn)

    async def publish(
        self, machine_arn: str, revision_id: str | None, description: str | None
    ) -> MachineVersion:
        """Publish the latest revision as the next version; the same revision again is the same.

        Raises NotFound without such a machine, AlreadyExists when `revision_id` is not its latest.
        """
        async with self._database.transaction() as connection:
            machine = await connection.fetchrow(
                "SELECT revision_id FROM machine WHERE arn = $1 FOR UPDATE", machine_arn
            )
            if machine is None:
                raise NotFound(f"state machine {machine_arn}")
            if revision_id is not None and revision_id != machine["revision_id"]:
                raise AlreadyExists(f"state machine {machine_arn} has another latest revision")
            row = await _published(connection, machine_arn, machine["revision_id"])
            if row is None:
                row = await _next_version(
                    connection, machine_arn, machine["revision_id"], description
                )
        return version_of(row)

    async def versions(
        self, machine_arn: str, limit: int, token: str | None
    ) -> Page[MachineVersion]:
        """Published versions, newest first."""
        place = place_of(token, int)
        rows = await self._database.rows(
            "SELECT * FROM version WHERE machine_arn = $1 AND ($2::int IS NULL OR number < $2) "
            "ORDER BY number DESC LIMIT $3",
            machine_arn,
            place[0] if place else None,
            limit + 1,
        )
        places = [(row["number"],) for row in rows]
        return page_of([version_of(row) for row in rows], limit, places)

    async def version(self, arn: str) -> MachineVersion:
        """One version; raises NotFound."""
        row = await self._database.row("SELECT * FROM version WHERE arn = $1", arn)
        if row is None:
            raise NotFound(f"version {arn}")
        return version_of(row)

    async def delete_version(self, arn: str) -> None:
        """Delete a version."""
        await self._database.rows("DELETE FROM version WHERE arn = $1", arn)

    async def put_alias(self, alias: Alias) -> Alias:
        """Create or change an alias."""
        row = await self._database.row(
            "INSERT INTO alias (arn, machine_arn, name, description, routing, created_at, "
            "updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (arn) DO UPDATE "
            "SET description = EXCLUDED.description, routing = EXCLUDED.routing, "
            "updated_at = EXCLUDED.updated_at RETURNING *",
            alias.arn,
            alias.machine_arn,
            alias.name,
            alias.description,
            json_text([list(route) for route in alias.routing]),
            alias.created_at,
            alias.updated_at,
        )
        return alias_of(row)

    async def alias(self, arn: str) -> Alias:
        """One alias; raises NotFound."""
        row = await self._database.row("SELECT * FROM alias WHERE arn = $1", arn)
        if row is None:
            raise NotFound(f"alias {arn}")
        return alias_of(row)

    async def aliases(self, machine_arn: str, limit: int, token: str | None) -> Page[Alias]:
        """The aliases of a machine by name."""
        place = place_of(token, str)
        rows = await self._database.rows(
            "SELECT * FROM alias WHERE machine_arn = $1 AND ($2::text IS NULL OR name > $2) "
            "ORDER BY name LIMIT $3",
            machine_arn,
            place[0] if place else None,
            limit + 1,
        )
        return page_of([alias_of(row) for row in rows], limit, [(row["name"],) for row in rows])

    async def delete_alias(self, arn: str) -> None:
        """Delete an alias."""
        await self._database.rows("DELETE FROM alias WHERE arn = $1", arn)

    async def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a machine or activity; raises NotFound."""
        async with self._database.snapshot() as connection:
            return await _tags(connection, arn)

    async def set_tags(
        self, arn: str, add: Mapping[str, str], remove: Sequence[str]
    ) -> Mapping[str, str]:
        """Add and remove tags; returns those in force. Raises NotFound."""
        async with self._database.transaction() as connection:
            await connection.execute(
                "DELETE FROM tag WHERE arn = $1 AND name = ANY ($2::text[])", arn, list(remove)
            )
            await connection.execute(
                "INSERT INTO tag SELECT $1, * FROM unnest($2::text[], $3::text[]) "
                "ON CONFLICT (arn, name) DO UPDATE SET value = EXCLUDED.value",
                arn,
                list(add),
                list(add.values()),
            )
            return await _tags(connection, arn)


async def _published(
    connection: asyncpg.Connection, machine_arn: str, revision_id: str
) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "SELECT * FROM version WHERE machine_arn = $1 AND revision_id = $2 "
        "ORDER BY number DESC LIMIT 1",
        machine_arn,
        revision_id,
    )


async def _next_version(
    connection: asyncpg.Connection, machine_arn: str, revision_id: str, description: str | None
) -> asyncpg.Record:
    number = await connection.fetchval(
        "UPDATE machine SET last_version = last_version + 1 WHERE arn = $1 RETURNING last_version",
        machine_arn,
    )
    return await connection.fetchrow(
        "INSERT INTO version (machine_arn, number, arn, revision_id, description, created_at) "
        "VALUES ($1, $2, $3, $4, $5, extract(epoch FROM now())) RETURNING *",
        machine_arn,
        number,
        f"{machine_arn}:{number}",
        revision_id,
        description,
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
