"""What each partition of an ordered Trigger ended last, in a bucket of the broker.

A broker that restarts forgets the ids of what was delivered and removed. A reader that died before
it had acknowledged its bus or source then publishes such events again, behind newer ones of their
key. Here they are known again, and not delivered. Whoever delivers a partition writes its record,
one event after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct

from torpor.triggers.broker import names
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.publishing import HEADER_ID
from torpor.triggers.broker.pulling import Message
from torpor.triggers.broker.specs import DUPLICATE_SECONDS
from torpor.triggers.broker.streams import QUEUE_DUPLICATE_SECONDS
from torpor.triggers.delivery.record import RecordKey
from torpor.triggers.inbox import PLACE

LIVE_SECONDS = 8 * 86_400
_MOST = 512
"""Ends that are known of a partition: more than one reader has on its way at once."""
_ENTRY = Struct(">8sQ")
"""A digest of what the event is called, and when it was stored, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Recent:
    """The last ends of one partition, the newest at the end."""

    entries: bytes = b""

    def has(self, message: Message, uid: str) -> bool:
        """Whether this event came to its end: of its place on the bus, or published twice.

        What is published under the same id later than the broker knows ids for is a new event.
        """
        digest, stored = _name(message, uid), _milliseconds(message)
        window = 0 if PLACE in message.headers else _window_seconds(message) * 1000
        return any(
            name == digest and (not window or stored - before <= window)
            for name, before in self._ends()
        )

    def and_now(self, message: Message, uid: str) -> Recent:
        """Return them with the end of one more."""
        entry = _ENTRY.pack(_name(message, uid), _milliseconds(message))
        return Recent((self.entries + entry)[-_MOST * _ENTRY.size :])

    def _ends(self) -> Iterator[tuple[bytes, int]]:
        return ((name, stored) for name, stored in _ENTRY.iter_unpack(self.entries))


class Recents:
    """The bucket. All methods raise BrokerAway."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, key: RecordKey) -> Recent:
        """Return what the partition of this message ended last."""
        entry = await self._bucket.get(_key(key))
        return Recent(b"" if entry is None else entry.value or b"")

    async def write(self, key: RecordKey, recent: Recent) -> None:
        """Keep it."""
        await self._bucket.put(_key(key), recent.entries)


def _key(key: RecordKey) -> str:
    place = names.trigger_key(key.trigger.namespace, key.trigger.name)
    return f"{place}.{key.partition}"


def _name(message: Message, uid: str) -> bytes:
    number = f"{message.seq} {message.stored_seconds}"
    given = message.headers.get(PLACE) or message.headers.get(HEADER_ID) or number
    return blake2b(f"{uid} {given}".encode(), digest_size=8).digest()


def _window_seconds(message: Message) -> int:
    """How long the stream of a message knows its id."""
    return DUPLICATE_SECONDS if message.stream == names.INBOX_STREAM else QUEUE_DUPLICATE_SECONDS


def _milliseconds(message: Message) -> int:
    return int(message.stored_seconds * 1000)
