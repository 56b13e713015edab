"""Brings a database's tables up to the scripts in `schema/`: each runs once, in one transaction.

Several processes may start at once: an advisory lock lets one of them do it. Scripts only add, so a
process of an older release goes on working beside a newer one. A script that ran is not to change:
its digest, which leaves comments and spaces out, is kept, and another one is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files

from torpor.workflows.ledger.base import LedgerError
from torpor.workflows.ledger.database import Database

_LOCK = 7_237_970_106
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
    async with database.transaction() as connection:
        version = connection.get_server_version()
        if version.major < 14:
            raise LedgerError(
                f"PostgreSQL {version.major} is too old: the ledger needs 14 or newer"
            )
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_version "
            "(number int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        await connection.execute("ALTER TABLE schema_version ADD COLUMN IF NOT EXISTS digest text")
        rows = await connection.fetch("SELECT number, digest FROM schema_version")
        done = {row["number"]: row["digest"] for row in rows}
        _check(done, await connection.fetchval("SELECT current_database()"))
        for number, script in scripts():
            if number not in done:
                await connection.execute(script)
                await connection.execute(
                    "INSERT INTO schema_version (number, digest) VALUES ($1, $2)",
                    number,
                    _digest(script),
                )
        await connection.execute(
            "INSERT INTO setting VALUES ('shards', $1) ON CONFLICT DO NOTHING", str(shards)
        )
        count = int(await connection.fetchval("SELECT value FROM setting WHERE name = 'shards'"))
        await connection.execute(
            "INSERT INTO shard (id) SELECT generate_series(0, $1 - 1) ON CONFLICT DO NOTHING", count
        )
    return count


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
