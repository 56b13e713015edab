"""How the delivery of one event went so far, in a bucket of the broker.

Only failures are counted, and only after they happened: a process that dies between taking an
event and the end of its attempt has used none up. So that an event which ends whoever delivers it
is given up all the same, it is noted before an attempt at an event whose earlier delivery ended
nobody knows how. An event that is delivered at its first attempt costs no record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.kv import Bucket, Entry
from torpor.triggers.broker.pulling import Message
from torpor.triggers.delivery.expiring import ExpiringBucket

LIVE_SECONDS = 8 * 86_400
"""Longer than an event may be tried."""
_MOST_ERROR = 1_000


@dataclass(frozen=True, slots=True)
class Record:
    """`attempts` failed; `excused` deliveries were put off without an attempt. Times are Unix.

    `next_seconds` is when it is tried again. `begun` attempts in a row did not come to an end.
    The last `breaks` attempts broke: this event may be what ends instances.
    """

    attempts: int = 0
    excused: int = 0
    first_seconds: float = 0.0
    last_seconds: float = 0.0
    next_seconds: float = 0.0
    error: str = ""
    status: int | None = None
    begun: int = 0
    breaks: int = 0

    def accounts_for(self, delivered: int) -> bool:
        """Whether the end of each of so many deliveries, the last left out, is known."""
        return self.attempts + self.excused + 1 >= delivered

    def beginning(self) -> Record:
        """Return the record of an event at which one more attempt begins."""
        return replace(self, begun=self.begun + 1)

    def answered(self) -> Record:
        """Return the record of an event at which an attempt came to an end."""
        return replace(self, begun=0)

    def broke(self) -> Record:
        """Return the record of an event whose attempt ended with the instance."""
        return replace(self, breaks=self.breaks + 1)

    def survived(self) -> Record:
        """Return the record of an event whose attempt the instance survived."""
        return replace(self, breaks=0) if self.breaks else self

    def failed(self, now: float, error: str, status: int | None) -> Record:
        """Return the record after one more failed attempt."""
        return replace(
            self,
            attempts=self.attempts + 1,
            first_seconds=self.first_seconds or now,
            last_seconds=now,
            error=error[:_MOST_ERROR],
            status=status,
        )

    def put_off(self, until: float, *, excused: int = 0) -> Record:
        """Return the record of an event that is tried again at `until`."""
        return replace(self, next_seconds=until, excused=self.excused + excused)


FRESH = Record()


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Whose record: a message of a Trigger, in a partition of its inbox or queue.

    The time at which the message was stored is part of it: a stream that is deleted and made again
    numbers its messages anew.
    """

    trigger: FunctionKey
    partition: int
    seq: int
    stored_milliseconds: int

    @classmethod
    def of(cls, trigger: FunctionKey, message: Message) -> RecordKey:
        """Return the key for a message."""
        partition = int(message.subject.rpartition(".")[2])
        return cls(trigger, partition, message.seq, int(message.stored_seconds * 1000))

    @classmethod
    def parse(cls, text: str) -> RecordKey:
        """Return the key that `str()` gave; ValueError for anything else."""
        namespace, name, partition, seq, stored = text.split(".")
        return cls(FunctionKey(namespace, name), int(partition), int(seq), int(stored))

    def __str__(self) -> str:
        place = names.trigger_key(self.trigger.namespace, self.trigger.name)
        return f"{place}.{self.partition}.{self.seq}.{self.stored_milliseconds}"


def attempts_bucket(connection: Connection) -> Bucket:
    """Return the bucket of all records."""
    return ExpiringBucket(connection, names.BUCKET_ATTEMPTS, LIVE_SECONDS, LIVE_SECONDS)


class Records:
    """The bucket. All methods raise BrokerAway."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def read(self, key: RecordKey) -> Record:
        """Return the record of a message, FRESH when there is none."""
        entry = await self._bucket.get(str(key))
        return FRESH if entry is None else decode(entry)

    async def write(self, key: RecordKey, record: Record) -> None:
        """Keep the record."""
        await self._bucket.put(str(key), _encode(record))

    async def remove(self, key: RecordKey) -> None:
        """Forget the record: the message is done with."""
        await self._bucket.delete(str(key))


def decode(entry: Entry) -> Record:
    """Return the record in an entry that has a value."""
    found = orjson.loads(entry.value or b"{}")
    return Record(
        attempts=int(found["attempts"]),
        excused=int(found["excused"]),
        first_seconds=float(found["first"]),
        last_seconds=float(found["last"]),
        next_seconds=float(found["next"]),
        error=str(found["error"]),
        status=found["status"],
        begun=int(found["begun"]),
        breaks=int(found.get("breaks", 0)),
    )


def _encode(record: Record) -> bytes:
    return orjson.dumps(
        {
            "attempts": record.attempts,
            "excused": record.excused,
            "first": record.first_seconds,
            "last": record.last_seconds,
            "next": record.next_seconds,
            "error": record.error,
            "status": record.status,
            "begun": record.begun,
            "breaks": record.breaks,
        }
    )
