"""Following a bucket: all it holds, then each change, through every loss of the connection.

Level-triggered: after a break the bucket is read anew, and what differs from before is yielded,
what was deleted meanwhile included. Deletion by time to live is not seen until then.

A replica of the broker that has not caught up may answer, after its leader's death, with less than
was seen before. So a bucket whose latest revision is older than one that is known is read again
before anything counts as deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from nats.aio.msg import Msg

from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.delivered import read_reply
from torpor.triggers.broker.errors import STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.kv import Bucket, Entry, is_deletion
from torpor.triggers.broker.link import status_of

_HEARTBEAT_SECONDS = 5
_SILENT_SECONDS = 12.0
"""More than two heartbeats: the consumer is gone."""
_INACTIVE_SECONDS = 60
_PAUSE_SECONDS = 0.5
_DOUBTS = 4
"""So many times in a row a bucket is read again; what is older then has run out of its time."""
_NANOSECONDS = 1_000_000_000


async def watch(
    connection: Connection, bucket: Bucket, reached: Callable[[int], None] | None = None
) -> AsyncGenerator[list[Entry], None]:
    """Yield first all values (maybe none), then changes, a list at a time, for ever.

    A deleted key's value is None. The first list waits for the broker. `reached` is told the
    revision up to which everything was yielded, once its taker is done with it.
    """
    known: dict[str, int] = {}
    started, doubts = False, 0
    while True:
        try:
            async with aclosing(_follow(connection, bucket)) as following:
                async for entries, complete in following:
                    if complete and doubts < _DOUBTS and _latest(entries) < _known_to(known):
                        doubts += 1
                        break
                    doubts = 0
                    changes = _news(known, entries)
                    if complete:
                        changes += _vanished(known, entries)
                    if changes or not started:
                        started = True
                        yield changes
                    if reached is not None and (complete or entries):
                        reached(_latest(entries))
        except BrokerAway:
            bucket.forget()
        except BrokerRefused as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            bucket.forget()
        await asyncio.sleep(_PAUSE_SECONDS)


def _news(known: dict[str, int], entries: list[Entry]) -> list[Entry]:
    """Return what was not known, or known otherwise, and note it."""
    changes = [
        entry
        for entry in entries
        if (entry.value is None and entry.key in known)
        or (entry.value is not None and known.get(entry.key) != entry.revision)
    ]
    for entry in changes:
        if entry.value is None:
            known.pop(entry.key, None)
        else:
            known[entry.key] = entry.revision
    return changes


def _latest(entries: list[Entry]) -> int:
    return max((entry.revision for entry in entries), default=0)


def _known_to(known: dict[str, int]) -> int:
    return max(known.values(), default=0)


def _vanished(known: dict[str, int], entries: list[Entry]) -> list[Entry]:
    """Return, and forget, what was known and is not among all entries."""
    there = {entry.key for entry in entries}
    return [Entry(key, None, known.pop(key)) for key in list(known) if key not in there]


async def _follow(
    connection: Connection, bucket: Bucket
) -> AsyncGenerator[tuple[list[Entry], bool]]:
    """Yield (all entries, True), then (changed entries, False), until one may have been missed.

    Raises BrokerAway and BrokerRefused.
    """
    link = await connection.link()
    await bucket.ensure()
    inbox, subject = _Inbox(bucket), link.new_inbox()
    with link.telling(inbox.wake):
        subscription = await link.subscribe(subject, inbox.arrived)
        try:
            empty = await _make_consumer(connection, bucket, subject)
            entries: list[Entry] = []
            while not (empty or inbox.up_to_date):
                entries += await inbox.entries()
            yield entries, True
            while True:
                yield await inbox.entries(), False
        finally:
            if not link.lost.is_set():
                await subscription.unsubscribe()


async def _make_consumer(connection: Connection, bucket: Bucket, subject: str) -> bool:
    """Have the last value of every key, and all later ones, sent; return whether there are none."""
    name = f"watch_{subject.rpartition('.')[2]}"
    stream, every = bucket.stream, bucket.subject(">")
    config = {
        "name": name,
        "deliver_subject": subject,
        "deliver_policy": "last_per_subject",
        "filter_subject": every,
        "ack_policy": "none",
        "idle_heartbeat": _HEARTBEAT_SECONDS * _NANOSECONDS,
        "inactive_threshold": _INACTIVE_SECONDS * _NANOSECONDS,
        "mem_storage": True,
        "num_replicas": 1,
    }
    request = {"stream_name": stream, "config": config}
    answer = await call(connection, f"CONSUMER.CREATE.{stream}.{name}.{every}", request)
    return not (answer["num_pending"] or answer["delivered"]["consumer_seq"])


@dataclass(slots=True)
class _Inbox:
    """What the consumer sent, checked to be without a gap."""

    bucket: Bucket
    came: asyncio.Queue[Msg | None] = field(default_factory=asyncio.Queue)
    last: int = 0
    """The consumer's sequence number of the last message."""
    up_to_date: bool = False
    """Whether the last message was the last there was."""

    async def arrived(self, message: Msg) -> None:
        self.came.put_nowait(message)

    def wake(self) -> None:
        self.came.put_nowait(None)

    async def entries(self) -> list[Entry]:
        """Return what came, at least one thing; BrokerAway when something may be missing."""
        found: list[Entry] = []
        while not found or not self.came.empty():
            try:
                async with asyncio.timeout(_SILENT_SECONDS):
                    message = await self.came.get()
            except TimeoutError:
                raise BrokerAway(f"the watch of {self.bucket.name} fell silent") from None
            entry = self._entry(message)
            if entry is not None:
                found.append(entry)
        return found

    def _entry(self, message: Msg | None) -> Entry | None:
        if message is None:
            raise BrokerAway("the connection to the broker was lost")
        if status_of(message):
            sent = (message.headers or {}).get("Nats-Last-Consumer", str(self.last))
            self._expect(int(sent))
            return None
        delivered = read_reply(message.reply)
        self._expect(delivered.consumer_seq - 1)
        self.last += 1
        self.up_to_date = delivered.pending == 0
        value = None if is_deletion(message.headers) else message.data
        return Entry(self.bucket.key_of(message.subject), value, delivered.stream_seq)

    def _expect(self, last: int) -> None:
        if last != self.last:
            raise BrokerAway(f"the watch of {self.bucket.name} missed something")
