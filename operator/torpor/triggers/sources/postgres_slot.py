"""A publication and a logical replication slot in a PostgreSQL, by SQL.

The slot is read by `pg_logical_slot_peek_binary_changes`, which takes nothing away, and moved on
by `pg_replication_slot_advance`: asyncpg does not speak the replication protocol. A slot makes the
server keep its WAL until the slot is moved on, so one that nobody reads fills the disk.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from torpor.resources.trigger import Trigger
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.postgres_errors import understood
from torpor.triggers.sources.postgres_events import Operation, Table, format_lsn, parse_lsn

_CONNECT_SECONDS: Final = 10.0
_STATEMENT_SECONDS: Final = 60.0
_PEEK_SECONDS: Final = 600.0
_NAME_CHARACTERS: Final = 63
_DIGEST_BYTES: Final = 4
_PREFETCHED_ROWS: Final = 500
_SETTINGS: Final = {
    "application_name": "torpor",
    "bytea_output": "hex",
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
}
"""How values are written is up to the session that reads the slot."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is to be published, and under which name."""

    name: str
    tables: frozenset[Table]
    operations: frozenset[Operation]


def subscription_name(trigger: Trigger) -> str:
    """Return the name of a Trigger's slot and publication: letters, digits and `_`, at most 63.

    The digest at its end keeps apart Triggers of one name, in two clusters or one after another.
    """
    key = trigger.key
    whole = f"{key.namespace}/{key.name}/{trigger.uid}"
    digest = hashlib.blake2b(whole.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    readable = f"torpor_{key.namespace}_{key.name}".replace("-", "_")
    return f"{readable[: _NAME_CHARACTERS - len(digest) - 1]}_{digest}"


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection. All that goes wrong in the block becomes SourceAway or SourceMisconfigured."""
    with understood():
        connection = await _connect(dsn)
        try:
            yield connection
        finally:
            connection.terminate()  # nothing is under way that must be ended in good order


async def _connect(dsn: str) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(
            dsn,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings=_SETTINGS,
        )
    except (ValueError, asyncpg.ClientConfigurationError):
        # What was not understood may be a part of the password: it is not told.
        raise SourceMisconfigured(
            "the Secret's dsn cannot be understood: write postgresql://user:password@host/database "
            "and percent-encode special characters of the password"
        ) from None


class Slot:
    """The slot and the publication of one subscription."""

    def __init__(self, connection: asyncpg.Connection, wanted: Subscription) -> None:
        self._connection = connection
        self._wanted = wanted

    async def prepare(self) -> bool:
        """Make what is missing; return whether the slot was there before."""
        await self._check_server()
        await self._check_tables()
        slot = await self._connection.fetchrow(_FIND_SLOT, self._wanted.name)
        if slot is not None and not slot["here"]:  # the Trigger read another database before
            await self._connection.execute(_DROP_SLOT, self._wanted.name)
            slot = None
        publication = await self._connection.fetchrow(_FIND_PUBLICATION, self._wanted.name)
        if slot is not None:
            self._check_slot(slot["wal_status"], published=publication is not None)
        await self._publish(publication)
        if slot is None:
            await self._create()
        return slot is not None

    async def covers(self) -> bool:
        """Whether all tables are published: one that was made anew is not."""
        rows = await self._connection.fetch(_PUBLISHED, self._wanted.name)
        return self._wanted.tables <= {(row["schemaname"], row["tablename"]) for row in rows}

    async def place(self) -> str:
        """Return what tells the server and its database from all others: digits and a dot."""
        return str(await self._connection.fetchval(_PLACE))

    async def kept_bytes(self) -> int:
        """Return how much WAL the server keeps for the slot; SourceMisconfigured when it lost some.

        It keeps no more than its `max_slot_wal_keep_size`.
        """
        found = await self._connection.fetchrow(_KEPT, self._wanted.name)
        if found is None:
            raise SourceAway(f"somebody dropped the slot {self._wanted.name}")
        self._check_slot(found["wal_status"], published=True)
        return int(found["bytes"] or 0)

    async def end_of_wal(self) -> int:
        """Return up to where all is on the server's disk."""
        return parse_lsn(await self._connection.fetchval(_END_OF_WAL))

    async def confirmed(self) -> int:
        """Return from where the slot is read."""
        found = await self._connection.fetchval(_CONFIRMED, self._wanted.name)
        if found is None:
            raise SourceAway(f"somebody dropped the slot {self._wanted.name}")
        return parse_lsn(found)

    async def peek(self, upto: int, most_rows: int) -> AsyncGenerator[bytes]:
        """Yield the messages of the transactions that were committed before `upto`.

        Whole transactions, until there are `most_rows` messages. A few hundred are in memory at a
        time: the server keeps the others in a temporary file.
        """
        arguments = (self._wanted.name, format_lsn(upto), most_rows)
        async with self._connection.transaction(readonly=True):
            rows = self._connection.cursor(
                _PEEK, *arguments, prefetch=_PREFETCHED_ROWS, timeout=_PEEK_SECONDS
            )
            async for row in rows:
                yield row["data"]

    async def advance(self, upto: int) -> None:
        """Let the server forget what was committed before `upto`."""
        await self._connection.execute(_ADVANCE, self._wanted.name, format_lsn(upto))

    async def drop(self) -> None:
        """Remove the slot, and the publication unless it is somebody else's."""
        await self._connection.execute(_DROP_SLOT, self._wanted.name)
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await self._connection.execute(f"DROP PUBLICATION IF EXISTS {self._wanted.name}")

    async def _create(self) -> None:
        try:
            await self._connection.execute(_CREATE_SLOT, self._wanted.name)
        except TimeoutError as error:
            text = "a slot begins when all older transactions have ended: see pg_stat_activity"
            raise SourceAway(text) from error

    async def _check_server(self) -> None:
        level = await self._connection.fetchval("SHOW wal_level")
        if level != "logical":
            raise SourceMisconfigured(
                f"the server's wal_level is {level}: set wal_level = logical and restart it"
            )

    def _check_slot(self, wal_status: str | None, *, published: bool) -> None:
        begin_anew = f"begin anew with SELECT pg_drop_replication_slot('{self._wanted.name}')"
        if wal_status == "lost":
            raise SourceMisconfigured(
                "changes were lost: the server removed WAL that the slot still needed "
                f"(max_slot_wal_keep_size); {begin_anew}"
            )
        if not published:
            raise SourceMisconfigured(
                f"somebody dropped the publication {self._wanted.name}, without which the changes "
                f"since cannot be read; {begin_anew}"
            )

    async def _check_tables(self) -> None:
        rows = await self._connection.fetch(_TABLES, [".".join(t) for t in self._wanted.tables])
        missing = self._wanted.tables - {(row["schema"], row["table"]) for row in rows}
        if missing:
            raise SourceMisconfigured(
                f"there is no table {_listed(missing)}: create it, or correct spec.source.postgres"
            )
        if not self._wanted.operations & {Operation.UPDATE, Operation.DELETE}:
            return
        anonymous = {(row["schema"], row["table"]) for row in rows if not row["identified"]}
        if anonymous:
            raise SourceMisconfigured(
                f"{_listed(anonymous)} has no primary key, so that PostgreSQL would refuse updates "
                "and deletes of a published table: ALTER TABLE … REPLICA IDENTITY FULL, or leave "
                "update and delete out of spec.source.postgres.operations"
            )

    async def _publish(self, found: Any) -> None:
        tables = ", ".join(sorted(f"{_quoted(s)}.{_quoted(t)}" for s, t in self._wanted.tables))
        published = ", ".join(sorted(self._wanted.operations))
        options = f"(publish = '{published}', publish_via_partition_root = true)"
        if found is None:
            await self._connection.execute(
                f"CREATE PUBLICATION {self._wanted.name} FOR TABLE {tables} WITH {options}"
            )
            return
        if not all(found[operation] for operation in self._wanted.operations):
            await self._connection.execute(f"ALTER PUBLICATION {self._wanted.name} SET {options}")
        if not await self.covers():
            await self._connection.execute(
                f"ALTER PUBLICATION {self._wanted.name} SET TABLE {tables}"
            )


_PLACE: Final = """
    SELECT system_identifier::text || '.' || d.oid::text
    FROM pg_control_system(), pg_database d WHERE d.datname = current_database()"""
_KEPT: Final = """
    SELECT wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS bytes
    FROM pg_replication_slots WHERE slot_name = $1"""
_END_OF_WAL: Final = "SELECT pg_current_wal_flush_lsn()::text"
_FIND_SLOT: Final = """
    SELECT wal_status, database = current_database() AS here
    FROM pg_replication_slots WHERE slot_name = $1"""
_CONFIRMED: Final = """
    SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1"""
_FIND_PUBLICATION: Final = """
    SELECT pubinsert AS insert, pubupdate AS update, pubdelete AS delete, pubtruncate AS truncate
    FROM pg_publication WHERE pubname = $1"""
_PUBLISHED: Final = "SELECT schemaname, tablename FROM pg_publication_tables WHERE pubname = $1"
_CREATE_SLOT: Final = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')"
_DROP_SLOT: Final = """
    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1"""
_ADVANCE: Final = "SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)"
_PEEK: Final = """
    SELECT data FROM pg_logical_slot_peek_binary_changes(
        $1, $2::text::pg_lsn, $3, 'proto_version', '1', 'publication_names', $1::name::text)"""
_TABLES: Final = """
    SELECT n.nspname AS schema, c.relname AS table,
        c.relreplident IN ('f', 'i') OR c.relreplident = 'd' AND EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) AS identified
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname || '.' || c.relname = ANY($1)"""


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(tables: set[Table] | frozenset[Table]) -> str:
    return ", ".join(sorted(f"{schema}.{table}" for schema, table in tables))
