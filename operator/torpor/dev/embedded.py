"""Makes what the stand-ins of a folder name: databases with their tables, and buckets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from torpor.dev.folder import Folder
from torpor.dev.manifests import BadFolder
from torpor.dev.sources import CONFIG_MAP
from torpor.dev.standins import Embedded, StandIn, database_dsn

log = logging.getLogger(__name__)
_ANSWER_SECONDS = 30.0
_LIMIT = "SELECT datconnlimit FROM pg_database WHERE datname = $1"
_MADE = 0
"""The connection limit of a database that has no schema yet. We are superuser: it is not for us."""
_DROPPED = -2
"""That of a database whose DROP did not come to its end (PostgreSQL, "pg_database")."""


class NoDatabase(BadFolder):
    """A database of a stand-in cannot be made; the message has PostgreSQL's reason."""

    code = "no-database"


@dataclass(frozen=True, slots=True)
class _Database:
    name: str
    schema: str
    """The SQL that makes its tables."""


async def stood_in(found: Folder, embedded: Embedded) -> Folder:
    """Return the folder with what is embedded in it, once all of that is there.

    A schema is run once, when its database is made: that of any source that names it. NoDatabase
    when PostgreSQL refuses it, and the database is not there then. One whose schema did not come
    to its end, because this process was killed, is made anew.
    """
    if embedded.postgres:
        for database in sorted(_databases(found), key=lambda it: not it.schema):
            await _make(embedded.postgres, database)
    elif found.has(StandIn.POSTGRESQL):
        log.warning("a database is new here: start torpor dev again to have it")
    if embedded.objects:
        await asyncio.to_thread(_make_buckets, found, embedded.objects)
    return found.settled(embedded)


def _databases(found: Folder) -> Iterator[_Database]:
    for (_, namespace, _), source in found.sources.items():
        if source.stand_in is StandIn.POSTGRESQL:
            sql = found.sources.get((CONFIG_MAP, namespace, source.schema))
            texts = [sql.fields[name].decode() for name in sorted(sql.fields)] if sql else []
            yield _Database(source.database, "\n".join(texts))


async def _make(server: str, database: _Database) -> None:
    try:
        connection = await asyncpg.connect(server, timeout=_ANSWER_SECONDS)
        try:
            limit = await connection.fetchval(_LIMIT, database.name)
            if limit in (_MADE, _DROPPED):
                await _drop(connection, database)
            if limit in (None, _MADE, _DROPPED):
                await _create(connection, server, database)
        finally:
            await connection.close(timeout=_ANSWER_SECONDS)
    except (asyncpg.PostgresError, OSError, TimeoutError) as error:
        raise NoDatabase(f"the database {database.name} cannot be made: {error}") from error


async def _create(connection: asyncpg.Connection, server: str, database: _Database) -> None:
    name = f'"{database.name}"'  # read_sources checked it
    await connection.execute(f"CREATE DATABASE {name} CONNECTION LIMIT {_MADE}")
    try:
        await _fill(database_dsn(server, database.name), database.schema)
        await connection.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    except BaseException:  # also when it takes too long, or is ended: a second run begins anew
        await _drop(connection, database)
        raise


async def _drop(connection: asyncpg.Connection, database: _Database) -> None:
    await connection.execute(f'DROP DATABASE "{database.name}" WITH (FORCE)')


async def _fill(dsn: str, schema: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=_ANSWER_SECONDS)
    try:
        await connection.execute(schema, timeout=_ANSWER_SECONDS)
    finally:
        await connection.close(timeout=_ANSWER_SECONDS)


def _make_buckets(found: Folder, objects: Path) -> None:
    for source in found.sources.values():
        if source.stand_in is StandIn.STORAGE:
            objects.joinpath(*source.place).mkdir(parents=True, exist_ok=True)
