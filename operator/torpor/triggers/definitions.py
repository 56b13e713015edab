"""The Triggers in force, in a bucket of the broker: the controller puts, every replica watches.

What is stored is the Trigger as its user wrote it, what is known of its target, and where its
events begin: a Trigger gets what was published to its bus after it was put, and nothing older.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import orjson

from torpor.errors import InvalidResource
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind, Trigger, check_change
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Bucket, Entry
from torpor.triggers.broker.streams import Streams
from torpor.triggers.broker.watching import watch
from torpor.triggers.implied import Implied

log = logging.getLogger(__name__)

_CAUGHT_UP_SECONDS = 15.0
"""A watch that fell silent is noticed in 12 s, and begun anew."""


@dataclass(frozen=True, slots=True)
class Definition:
    """One Trigger in force.

    `facts` is what the controller knows of the target (its payload kind, limits), as JSON.
    `since_seconds` is the Unix time at which this Trigger (this uid) was first put, `since_seq` the
    last message of its bus then. `revision` grows with each put.
    """

    trigger: Trigger
    facts: Mapping[str, Any]
    since_seconds: float
    since_seq: int
    revision: int
    manifest: Mapping[str, Any]
    """The Trigger's JSON, as it was put."""
    implied: Implied | None = None
    """What it is if no Trigger is behind it."""

    @property
    def bus(self) -> tuple[str, str] | None:
        """Namespace and name of the bus that the Trigger is of, if it is of one."""
        return self._source(SourceKind.BUS)

    @property
    def queue(self) -> tuple[str, str] | None:
        """Namespace and name of the queue that the Trigger reads, if it reads one."""
        return self._source(SourceKind.QUEUE)

    def _source(self, kind: SourceKind) -> tuple[str, str] | None:
        source = self.trigger.source
        name = str(source.settings.get("name", ""))
        return (self.trigger.key.namespace, name) if source.kind is kind else None


Listener = Callable[[FunctionKey, Definition | None], None]
"""Told of each Trigger: its definition, or None when it is no longer in force."""


class Definitions:
    """Puts definitions, and knows those in force while `run` runs."""

    def __init__(
        self, connection: Connection, streams: Streams, *, wall: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._bucket = Bucket(connection, names.BUCKET_TRIGGERS)
        self._wall = wall
        self._known: dict[FunctionKey, Definition] = {}
        self._unread: set[FunctionKey] = set()
        """Those in force that this version cannot read."""
        self._listeners: list[Listener] = []
        self._revision = 0
        self._heard = asyncio.Event()
        self.synced = asyncio.Event()
        """Set once all Triggers that were in force at the start are known."""

    @property
    def known(self) -> Mapping[FunctionKey, Definition]:
        """The Triggers in force, as last heard."""
        return MappingProxyType(self._known)

    def listen(self, listener: Listener) -> None:
        """Tell of all that is known, and of each change from now on. It must not raise."""
        self._listeners.append(listener)
        for key, definition in self._known.items():
            listener(key, definition)

    async def put(
        self, obj: Mapping[str, Any], facts: Mapping[str, Any], implied: Implied | None = None
    ) -> Definition:
        """Have a Trigger in force, in its JSON form; its bus or queue is made by this.

        Raises InvalidResource (also for another source than it had), InvalidName, BrokerAway, and
        WrongRevision when somebody else put it at the same time.
        """
        trigger = _named(Trigger.parse(obj), implied)
        key = names.trigger_key(trigger.key.namespace, trigger.key.name)
        since_seq = await self._begin(trigger)
        before = await self._bucket.get(key)
        begun = _begun(before, trigger, since_seq) or (self._wall(), since_seq)
        put = {"sinceSeconds": begun[0], "sinceSeq": begun[1], "facts": facts, "trigger": obj}
        data = orjson.dumps(put if implied is None else {**put, "implied": implied.to_json()})
        if before is not None and before.value == data:
            return _parsed(before)
        if before is None:
            revision = await self._bucket.create(key, data)
        else:
            revision = await self._bucket.update(key, data, before.revision)
        return _parsed(Entry(key, data, revision))

    async def delete(self, key: FunctionKey) -> None:
        """Have a Trigger no longer in force. What its inbox holds stays."""
        await self._bucket.delete(names.trigger_key(key.namespace, key.name))

    async def get(self, key: FunctionKey) -> Definition | None:
        """Return a Trigger in force, from the broker."""
        found = await self._bucket.get(names.trigger_key(key.namespace, key.name))
        return None if found is None else _parsed(found)

    async def list(self) -> list[Definition]:
        """Return all Triggers in force, from the broker."""
        return [_parsed(entry) for entry in await self._bucket.entries()]

    async def caught_up(self) -> None:
        """Return when all that was put before this call is known. Raises BrokerAway.

        What acts on events asks after it has them: a Trigger that was put before they were
        published gets them then, whichever replica it was put through.
        """
        revision = await self._bucket.last_seq()
        try:
            async with asyncio.timeout(_CAUGHT_UP_SECONDS):
                while self._revision < revision:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise BrokerAway("the Triggers in force are not known yet") from None

    async def buses(self) -> Collection[tuple[str, str]]:
        """Return namespace and name of all buses that have a Trigger now. Raises BrokerAway.

        Of all buses that there are, while a Trigger cannot be read: it may be of any.
        """
        await self.caught_up()
        if self._unread:
            return await self._streams.buses()
        return {bus for each in self._known.values() if (bus := each.bus) is not None}

    def _reached(self, revision: int) -> None:
        self._revision = revision
        self._heard.set()

    async def run(self) -> None:
        """Follow the bucket, for ever."""
        async for entries in watch(self._connection, self._bucket, self._reached):
            for entry in entries:
                self._heed(entry)
            self.synced.set()

    def _heed(self, entry: Entry) -> None:
        key = FunctionKey(*names.parse_trigger_key(entry.key))
        definition = _read(entry)
        self._unread.discard(key)
        if definition is None and entry.value is not None:
            self._unread.add(key)
        if definition is None:
            self._known.pop(key, None)
        else:
            self._known[key] = definition
        for listener in self._listeners:
            listener(key, definition)

    async def _begin(self, trigger: Trigger) -> int:
        """Make what the Trigger needs; return the last message of its bus."""
        namespace, source, target = trigger.key.namespace, trigger.source, trigger.target
        for kind, name in (
            (target.kind, target.name),
            (source.kind, str(source.settings.get("name", ""))),
        ):
            if kind in (SourceKind.QUEUE, TargetKind.QUEUE):
                await self._streams.ensure_queue(namespace, name)
            elif kind in (SourceKind.BUS, TargetKind.BUS):
                await self._streams.ensure_bus(namespace, name)
        if source.kind is not SourceKind.BUS:
            return 0
        stream = names.bus_stream(namespace, str(source.settings.get("name", "")))
        state = await self._streams.state(stream)
        return 0 if state is None else state.last_seq


def _begun(entry: Entry | None, trigger: Trigger, last_seq: int) -> tuple[float, int] | None:
    """Return since when the Trigger of this uid is in force, if it is.

    A bus that ends before that was made anew, and all it holds came since. Raises InvalidResource
    for another source.
    """
    found = None if entry is None else _read(entry)
    if found is None or found.trigger.uid != trigger.uid:
        return None
    check_change(found.trigger.source, trigger.source)
    return found.since_seconds, found.since_seq if found.since_seq <= last_seq else 0


def _read(entry: Entry) -> Definition | None:
    """Return what an entry says; None for a deletion, and for what this version cannot read."""
    if entry.value is None:
        return None
    try:
        return _parsed(entry)
    except (InvalidResource, ValueError, LookupError, TypeError) as error:
        log.warning(
            "a Trigger in force cannot be read",
            extra={"fields": {"key": entry.key, "error": str(error)}},
        )
        return None


def _parsed(entry: Entry) -> Definition:
    found = orjson.loads(entry.value or b"")
    implied = Implied.from_json(found["implied"]) if "implied" in found else None
    return Definition(
        trigger=_named(Trigger.parse(found["trigger"]), implied),
        facts=MappingProxyType(found["facts"]),
        since_seconds=found["sinceSeconds"],
        since_seq=found["sinceSeq"],
        revision=entry.revision,
        manifest=MappingProxyType(found["trigger"]),
        implied=implied,
    )


def _named(trigger: Trigger, implied: Implied | None) -> Trigger:
    if implied is None:
        return trigger
    return replace(trigger, key=FunctionKey(trigger.key.namespace, implied.name))
