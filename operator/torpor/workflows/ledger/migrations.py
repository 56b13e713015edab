"""Brings a database's tables up to the scripts in `schema/`: each runs once, in its transaction.

Several processes may start at once: an advisory lock lets one at a time do it. Scripts only add, so
a process of an older release goes on working beside a newer one, also while scripts run: a script
that changes a table that is in use changes this one only, and takes its strongest lock first. With
two in one transaction it and such a process could wait for each other. A script that ran is not to
change: its digest, which leaves comments and spaces out, is kept, and another one is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files

import asyncpg

from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.database import Database

_LOCK = 7_237_970_106
_SCRIPT_SECONDS = 6 * 3_600.0
"""For one script, or for those of another process: an index on a large table takes long."""
_COMMENT = re.compile(r"--[^\n]*")
_NAME = re.compile(r"(\d{4})_\w+\.sql")


class OtherSchema(LedgerError):
    """The database's tables are not those of this build; the message says what to do."""


def scripts() -> list[tuple[int, str]]:
    """Number and text of every script, in order."""
    found = []
    for entry in files("torpor.workflows.ledger.schema").iterdir():
        match = _NAME.fullmatch(entry.name)
        if match is not None:
            found.append((int(match[1]), entry.read_text(encoding="utf-8")))
    return sorted(found)


async def migrate(database: Database, shards: int) -> int:
    """Apply what is missing; returns the number of shards in force.

    `shards` counts only for a new ledger. Raises LedgerError when PostgreSQL is too old, and
    OtherSchema when the tables are those of another build.
    """
    async with _alone(database) as connection:
        await _open_book(connection)
    for number, script in scripts():
        async with _alone(database) as connection:
            if number not in await _done(connection):
                await _apply(connection, number, script)
    async with _alone(database) as connection:
        await connection.execute(
            "INSERT INTO setting VALUES ('shards', $1) ON CONFLICT DO NOTHING", str(shards)
        )
        count = int(await connection.fetchval("SELECT value FROM setting WHERE name = 'shards'"))
        await connection.execute(
            "INSERT INTO shard (id) SELECT generate_series(0, $1 - 1) ON CONFLICT DO NOTHING", count
        )
    return count


@asynccontextmanager
async def _alone(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A transaction during which no other process migrates this database."""
    async with database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK, timeout=_SCRIPT_SECONDS)
        yield connection


async def _open_book(connection: asyncpg.Connection) -> None:
    """Have the table of the scripts that ran; raises LedgerError where none of them can run."""
    version = connection.get_server_version()
    if version.major < 14:
        raise LedgerError(f"PostgreSQL {version.major} is too old: the ledger needs 14 or newer")
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_version "
        "(number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    await connection.execute("ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS digest text")
    done = await _done(connection)
    _check(done, await connection.fetchval("SELECT current_database()"))


async def _done(connection: asyncpg.Connection) -> dict[int, str | None]:
    """The scripts that ran, with their digests."""
    rows = await connection.fetch("SELECT number, digest FROM schema_version")
    return {row["number"]: row["digest"] for row in rows}


async def _apply(connection: asyncpg.Connection, number: int, script: str) -> None:
    await connection.execute(script, timeout=_SCRIPT_SECONDS)
    await connection.execute(
        "INSERT INTO schema_version (number, digest) VALUES ($1, $2)", number, _digest(script)
    )


def _check(done: Mapping[int, str | None], database: str) -> None:
    for number, script in scripts():
        if number in done and done[number] != _digest(script):
            raise OtherSchema(
                f"the tables in the database {database!r} were made by another build of Torpor "
                f"(script {number:04} differs): run that build, or give this one a new database"
            )


def _digest(script: str) -> str:
    words = _COMMENT.sub("", script).split()
    return hashlib.sha256(" ".join(words).encode()).hexdigest()
