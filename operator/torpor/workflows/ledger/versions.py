"""Published versions of machines, and the aliases that route to them."""

from __future__ import annotations

import asyncpg

from torpor.expressions.values import json_text
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.ledger.rows import alias_of, version_of
from torpor.workflows.ledger.store import Store
from torpor.workflows.ledger.tokens import page_of, place_of
from torpor.workflows.records import Alias, MachineVersion, Page


class Versions(Store):
    """What the API's calls on versions and aliases read and write."""

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

    async def create_alias(self, alias: Alias) -> Alias:
        """Create an alias; raises AlreadyExists, or NotFound without an ACTIVE machine."""
        async with self._database.transaction() as connection:
            # A row lock, so that the machine cannot go in between.
            there = await connection.fetchval(
                "SELECT true FROM machine WHERE arn = $1 AND status = 'ACTIVE' FOR SHARE",
                alias.machine_arn,
            )
            if not there:
                raise NotFound(f"state machine {alias.machine_arn}")
            row = await connection.fetchrow(
                "INSERT INTO alias (arn, machine_arn, name, description, routing, created_at, "
                "updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING "
                "RETURNING *",
                alias.arn,
                alias.machine_arn,
                alias.name,
                alias.description,
                _routing(alias),
                alias.created_at,
                alias.updated_at,
            )
        if row is None:
            raise AlreadyExists(f"alias {alias.arn}")
        return alias_of(row)

    async def change_alias(self, alias: Alias) -> Alias:
        """Store an alias's description and routes; raises NotFound."""
        row = await self._database.row(
            "UPDATE alias SET description = $2, routing = $3, updated_at = $4 WHERE arn = $1 "
            "RETURNING *",
            alias.arn,
            alias.description,
            _routing(alias),
            alias.updated_at,
        )
        if row is None:
            raise NotFound(f"alias {alias.arn}")
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


def _routing(alias: Alias) -> str:
    return json_text([list(route) for route in alias.routing])


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
