"""What streams, subjects, consumers and buckets are called. Pure; the table is in ADR 5."""

from __future__ import annotations

import hashlib
import re
import zlib

from torpor.errors import TorporError

PARTITIONS = 16
"""Of an ordered inbox or queue; what is not ordered is in partition 0."""

INBOX_STREAM = "torpor_inbox"
DEAD_STREAM = "torpor_dead"
OBJECT_STREAM = "torpor_objects"
BUS_STREAM_PREFIX = "bus_"
QUEUE_STREAM_PREFIX = "queue_"

BUCKET_TRIGGERS = "torpor_triggers"
BUCKET_POSITIONS = "torpor_positions"
BUCKET_LEASES = "torpor_leases"
BUCKET_ATTEMPTS = "torpor_attempts"
BUCKET_DEDUPE = "torpor_dedupe"
BUCKET_RECENT = "torpor_recent"
BUCKET_RESULTS = "torpor_results"
BUCKET_ACTIVITY = "torpor_activity"

ROUTER_CONSUMER = "router"
RECEIVERS_CONSUMER = "sqs"
"""All SQS receivers of a queue share it, of a FIFO queue one for each partition; a Trigger that
reads the queue takes over."""

FIFO_SUFFIX = ".fifo"
"""What SQS ends the name of a queue with that keeps the order of each group of messages."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_QUEUE = re.compile(r"(?=.{1,80}\Z)[A-Za-z0-9_-]+(\.fifo)?")
_DOT = "+"
"""Stands for the dot of a queue's name, which streams and subjects cannot have in theirs."""
_KEY = re.compile(r"[-/_=.a-zA-Z0-9]+")


class InvalidName(TorporError):
    """A name that cannot be part of a subject."""

    code = "invalid-name"


def checked(name: str, what: str) -> str:
    """Return `name` if it is a DNS label (RFC 1123); else InvalidName, which says `what` it is."""
    if _LABEL.fullmatch(name) is None:
        raise InvalidName(
            f"the {what} {name[:80]!r} must be at most 63 of a-z, 0-9 and -, "
            "and begin and end with a letter or digit"
        )
    return name


def checked_queue(name: str) -> str:
    """Return `name` if a queue may have it, which is what SQS allows; else InvalidName."""
    if _QUEUE.fullmatch(name) is None:
        raise InvalidName(
            f"the queue {name[:100]!r} must be at most 80 of A-Z, a-z, 0-9, - and _, "
            f"and may end with {FIFO_SUFFIX}"
        )
    return name


def is_fifo(queue: str) -> bool:
    """Whether a queue keeps the order of each group of messages, which its name says."""
    return queue.endswith(FIFO_SUFFIX)


def inbox_subject(namespace: str, trigger: str, partition: int = 0) -> str:
    """Return where what a Trigger is still to deliver is published."""
    return f"torpor.inbox.{_pair(namespace, trigger, 'Trigger')}.{_partition(partition)}"


def inbox_filter(namespace: str, trigger: str) -> str:
    """Return the subjects of all partitions of a Trigger's inbox."""
    return f"torpor.inbox.{_pair(namespace, trigger, 'Trigger')}.*"


def dead_subject(namespace: str, trigger: str) -> str:
    """Return where the given-up events of a Trigger are."""
    return f"torpor.dead.{_pair(namespace, trigger, 'Trigger')}"


def bus_stream(namespace: str, bus: str) -> str:
    """Return the stream that keeps a bus."""
    return BUS_STREAM_PREFIX + _pair(namespace, bus, "bus", "_")


def bus_subject(namespace: str, bus: str) -> str:
    """Return where events are published to a bus."""
    return f"torpor.bus.{_pair(namespace, bus, 'bus')}"


def queue_stream(namespace: str, queue: str) -> str:
    """Return the stream that keeps a queue."""
    return QUEUE_STREAM_PREFIX + _queue(namespace, queue, "_")


def queue_subject(namespace: str, queue: str, partition: int = 0) -> str:
    """Return where messages are published to a queue."""
    return f"torpor.queue.{_queue(namespace, queue)}.{_partition(partition)}"


def queue_filter(namespace: str, queue: str) -> str:
    """Return the subjects of all partitions of a queue."""
    return f"torpor.queue.{_queue(namespace, queue)}.*"


def consumer_name(namespace: str, trigger: str, partition: int | None = None) -> str:
    """Return the durable consumer that delivers a Trigger, or one partition of it."""
    pair = _pair(namespace, trigger, "Trigger", "_")
    return pair if partition is None else f"{pair}_{_partition(partition)}"


def receivers_consumers(stream: str) -> tuple[str, ...]:
    """Return the consumers of the SQS receivers of a queue's stream, by partition."""
    if not stream.endswith(FIFO_SUFFIX.replace(".", _DOT)):
        return (RECEIVERS_CONSUMER,)
    return tuple(f"{RECEIVERS_CONSUMER}_{number}" for number in range(PARTITIONS))


def trigger_key(namespace: str, trigger: str) -> str:
    """Return the key of a Trigger in a bucket."""
    return _pair(namespace, trigger, "Trigger")


def parse_trigger_key(key: str) -> tuple[str, str]:
    """Return (namespace, name) of what `trigger_key` returned."""
    namespace, _, name = key.partition(".")
    return namespace, name


def owner(stream: str) -> tuple[str, str] | None:
    """Return (namespace, bus or queue) of a stream's name; None for a stream of another kind."""
    for prefix in (BUS_STREAM_PREFIX, QUEUE_STREAM_PREFIX):
        if stream.startswith(prefix):
            namespace, separator, name = stream.removeprefix(prefix).partition("_")
            return (namespace, name.replace(_DOT, ".")) if separator else None
    return None


def stream_of(subject: str) -> str:
    """Return the stream that keeps what is published to a subject of ours."""
    _, kind, *place = subject.split(".")
    match kind:
        case "bus":
            return BUS_STREAM_PREFIX + "_".join(place)
        case "queue":
            return QUEUE_STREAM_PREFIX + "_".join(place[:2])
        case _:
            return f"torpor_{kind}"


def trigger_of(subject: str) -> tuple[str, str]:
    """Return (namespace, name) of the Trigger or queue that a subject is of."""
    _, _, namespace, name, *_ = subject.split(".")
    return namespace, name.replace(_DOT, ".")


def partition_of(key: str | None) -> int:
    """Return the partition of an ordering key, the same in every process; 0 without a key."""
    return 0 if key is None else zlib.crc32(key.encode()) % PARTITIONS


def checked_key(key: str) -> str:
    """Return `key` if a bucket takes it (letters, digits and -/_=.); else InvalidName."""
    if _KEY.fullmatch(key) is None or key.startswith(".") or key.endswith(".") or ".." in key:
        raise InvalidName(f"{key[:80]!r} cannot be a key: letters, digits and -/_=. are allowed")
    return key


def _pair(namespace: str, name: str, what: str, separator: str = ".") -> str:
    return f"{checked(namespace, 'namespace')}{separator}{checked(name, what)}"


def _queue(namespace: str, name: str, separator: str = ".") -> str:
    safe = checked_queue(name).replace(".", _DOT)
    return f"{checked(namespace, 'namespace')}{separator}{safe}"


def _partition(number: int) -> int:
    if not 0 <= number < PARTITIONS:
        raise InvalidName(f"partition {number} is not within 0 to {PARTITIONS - 1}")
    return number


def message_id(source: str, event_id: str, scope: str) -> str:
    """Return the `Nats-Msg-Id` of an event within a scope, such as a Trigger's uid.

    CloudEvents calls two events with the same source and id the same event.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (source, event_id, scope):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()
