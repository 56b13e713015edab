"""Changes of rows, by logical decoding: `spec.source.postgres`. `postgres_events` has the events.

A slot and a publication, both named `torpor_<namespace>_<trigger>_<digest>`, are made at the first
reading: what was changed before is not told. The slot is moved on only past transactions whose
events were all acknowledged, and the LSN is kept besides, because a server that crashes may put a
slot back to its last checkpoint.

`forget` removes both, and so does a change of the Secret's dsn to another server or database while
the Trigger is read. A slot that is left behind, and one of a Trigger that is suspended, makes the
server keep WAL until its disk is full:
`SELECT * FROM pg_replication_slots WHERE slot_name LIKE 'torpor_%'` lists what there is, and the
server's `max_slot_wal_keep_size` bounds what they keep.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final
from urllib.parse import quote, urlsplit

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.trigger import Trigger
from torpor.telemetry.metrics import POSTGRES_WAL_KEPT
from torpor.triggers.base import Received, SourceAway, SourceMisconfigured, SourceWorld
from torpor.triggers.sources.outstanding import Outstanding
from torpor.triggers.sources.pgoutput import Commit, decode
from torpor.triggers.sources.postgres_events import (
    Changes,
    Operation,
    Table,
    format_lsn,
    parse_lsn,
)
from torpor.triggers.sources.postgres_slot import (
    Slot,
    Subscription,
    connected,
    subscription_name,
)
from torpor.triggers.sources.settings import choices, settings_of

log = logging.getLogger(__name__)

_POSITION: Final = "lsn"
_PLACE: Final = "place"
"""The position with the server and the database that were read last."""
_IDLE_SECONDS: Final = 0.2
_CHECK_SECONDS: Final = 30.0
_MOST_ROWS: Final = 10_000
"""Messages of one look at the slot, plus the rest of the last transaction."""
_IDLE_WAL_BYTES: Final = 1 << 20
"""So much WAL without a change of these tables is let go."""
_ROW_OPERATIONS: Final = frozenset({Operation.INSERT, Operation.UPDATE, Operation.DELETE})


class PostgresSource:
    """Reads one Trigger's slot."""

    exclusive = True

    def __init__(
        self, trigger: Trigger, world: SourceWorld, secret: str, wanted: Subscription
    ) -> None:
        self._trigger = trigger
        self._world = world
        self._secret = secret
        self._wanted = wanted
        self._labels = (trigger.key.namespace, trigger.key.name)

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield the changes of each transaction, in the order of the commits."""
        dsn = await self._dsn()
        async with connected(dsn) as connection, self._measured():
            slot = Slot(connection, self._wanted)
            position = await self._begin(slot)
            keep = functools.partial(self._world.positions.put, self._trigger, position)
            reading = _Reading(self._world, slot, await slot.confirmed(), keep)
            self._world.subscribed()
            while True:
                if reading.check_due():
                    await self._check(slot, dsn)
                changes = Changes(_uri(dsn), self._wanted.operations, self._wanted.tables)
                async with aclosing(reading.look(changes)) as looking:
                    async for received in looking:
                        yield received
                await reading.pause()

    @asynccontextmanager
    async def _measured(self) -> AsyncIterator[None]:
        """What the server keeps is told as long as it is looked at."""
        POSTGRES_WAL_KEPT.labels(*self._labels).set(0)
        try:
            yield
        finally:
            POSTGRES_WAL_KEPT.remove(*self._labels)

    async def _check(self, slot: Slot, dsn: str) -> None:
        """From time to time see whether the tables, the WAL and the Secret are as they were."""
        if not await slot.covers():
            await slot.prepare()
        POSTGRES_WAL_KEPT.labels(*self._labels).set(await slot.kept_bytes())
        if await self._dsn() != dsn:
            await self._leave(slot)

    async def _leave(self, slot: Slot) -> None:
        """End this session; elsewhere all begins anew, and the slot here is needed no more."""
        async with connected(await self._dsn()) as connection:
            place = await Slot(connection, self._wanted).place()
        if place != await slot.place():
            await slot.drop()
            await self._world.positions.put(self._trigger, _PLACE, b"")
        raise SourceAway(
            f"the dsn in the Secret {self._secret} has changed: it is connected to anew"
        )

    async def forget(self) -> None:
        """Remove the slot and the publication, because the Trigger is deleted.

        Raises SourceAway and SourceMisconfigured: they are still there then.
        """
        async with connected(await self._dsn()) as connection:
            await Slot(connection, self._wanted).drop()

    async def _dsn(self) -> str:
        fields = await self._world.secrets.read(self._trigger.key.namespace, self._secret)
        dsn = fields.get("dsn", b"").decode("utf-8", "replace").strip()
        if not dsn.startswith(("postgresql://", "postgres://")):
            raise SourceMisconfigured(
                f"the Secret {self._secret} has no usable field dsn: "
                "write postgresql://user:password@host/database"
            )
        return dsn

    async def _begin(self, slot: Slot) -> str:
        """Go on from where all was acknowledged; return the position's name: each server has one.

        An LSN means nothing to another server, nor to a slot that is made anew.
        """
        existed = await slot.prepare()
        await self._arrive(slot)
        position = f"{_POSITION}.{await slot.place()}"
        kept = await self._world.positions.get(self._trigger, position)
        if kept is None:
            return position
        acknowledged = parse_lsn(kept.decode())
        if not existed:
            fields = {"trigger": str(self._trigger.key), "since": kept.decode()}
            log.warning("a slot was gone: changes in between are lost", extra={"fields": fields})
            begins = format_lsn(await slot.confirmed()).encode()
            await self._world.positions.put(self._trigger, position, begins)
        elif await slot.confirmed() < acknowledged <= await slot.end_of_wal():
            await slot.advance(acknowledged)
        return position

    async def _arrive(self, slot: Slot) -> None:
        """Note which server is read, and say so if a slot may be left at another."""
        here = f"{await slot.place()} {_uri(await self._dsn())}"
        before = (await self._world.positions.get(self._trigger, _PLACE) or b"").decode()
        if before == here:
            return
        if before and before.partition(" ")[0] != here.partition(" ")[0]:
            log.warning(
                "another server is read: drop the slot at the former, which keeps WAL for it",
                extra={
                    "fields": {
                        "trigger": str(self._trigger.key),
                        "former": before.partition(" ")[2],
                        "sql": f"SELECT pg_drop_replication_slot('{self._wanted.name}')",
                    }
                },
            )
        await self._world.positions.put(self._trigger, _PLACE, here.encode())


class _Reading:
    """Looks at a slot again and again. `keep` keeps up to where all was acknowledged."""

    def __init__(
        self,
        world: SourceWorld,
        slot: Slot,
        confirmed: int,
        keep: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._keep = keep
        self._world = world
        self._slot = slot
        self._confirmed = confirmed
        self._seen = 0
        self._idle = False
        self._checked_at = world.wall()

    async def look(self, changes: Changes) -> AsyncGenerator[Received]:
        """Yield what was committed since the last look, and let it go when it is acknowledged."""
        upto = await self._slot.end_of_wal()
        self._idle = upto == self._seen
        if self._idle:
            return
        outstanding, rows, reached, told = Outstanding(), 0, self._confirmed, False
        async with aclosing(self._slot.peek(upto, _MOST_ROWS)) as messages:
            async for data in messages:
                rows += 1
                message = decode(data)
                if isinstance(message, Commit):
                    reached = message.end_lsn
                elif message is not None:
                    for event in changes.take(message):
                        told = True
                        yield outstanding.received(event)
        await outstanding.settle()
        if rows < _MOST_ROWS:
            self._seen = upto
            reached = max(reached, upto)
        await self._let_go(reached, told)

    async def pause(self) -> None:
        """Wait if there was nothing new."""
        if self._idle:
            await self._world.sleep(_IDLE_SECONDS)

    def check_due(self) -> bool:
        """Whether nothing is under way, and it is time to see if all is as it was: once true."""
        now = self._world.wall()
        if not self._idle or 0 <= now - self._checked_at < _CHECK_SECONDS:
            return False
        self._checked_at = now
        return True

    async def _let_go(self, reached: int, told: bool) -> None:
        if told:
            await self._keep(format_lsn(reached).encode())
        if told or reached - self._confirmed >= _IDLE_WAL_BYTES:
            await self._slot.advance(reached)
            self._confirmed = reached


def open_source(trigger: Trigger, world: SourceWorld) -> PostgresSource:
    """Return the source; SourceMisconfigured says what to write."""
    with settings_of(trigger) as found:
        wanted = Subscription(
            subscription_name(trigger),
            _tables(found),
            choices(found, "operations", Operation, _ROW_OPERATIONS),
        )
        return PostgresSource(trigger, world, found.required_text("secret"), wanted)


def _tables(found: Fields) -> frozenset[Table]:
    tables = set()
    for name in found.texts("tables"):
        schema, dot, table = name.partition(".")
        if not schema or (dot and not table) or not name.isprintable():
            problem = f"{name!r} is no table: write schema.table"
            raise InvalidResource("spec.source.postgres.tables", problem)
        tables.add((schema, table) if dot else ("public", schema))
    if not tables:
        raise InvalidResource("spec.source.postgres.tables", "is required")
    return frozenset(tables)


def _uri(dsn: str) -> str:
    """Return the DSN without who we are; a Unix socket's has no host."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2] or "localhost"
    return f"postgresql://{quote(host, safe=':,.')}/{quote(parts.path.strip('/'))}"
