"""Where each Trigger's events are until they are delivered, and who consumes them there.

That is the Trigger's own inbox, or the queue that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.definitions import Definition

_MOST_UNSETTLED = 20_000
"""In flight and waiting for their next attempts; beyond it nothing new is taken."""

Held = Mapping[int, int]
"""Messages by partition."""


def consumers(trigger: Trigger, ack_wait_seconds: float) -> Mapping[int | None, ConsumerSpec]:
    """Return the consumers: one (None), or one for each partition, with one message in flight."""
    partitions = [None] if trigger.ordering_key is None else range(names.PARTITIONS)
    return {each: _consumer(trigger, each, ack_wait_seconds) for each in partitions}


async def held(
    streams: Streams, known: Mapping[FunctionKey, Definition]
) -> Mapping[FunctionKey, Held]:
    """Return what is held for each Trigger: one request, and one for each queue.

    Raises BrokerAway.
    """
    inboxes = _by_owner(await streams.held(names.INBOX_STREAM, "torpor.inbox.>"))
    found: dict[FunctionKey, Held] = {}
    for key, definition in known.items():
        queue = _queue(definition.trigger)
        if queue is None:
            found[key] = inboxes.get(key, {})
            continue
        stream, subject = names.queue_stream(*queue), names.queue_filter(*queue)
        found[key] = _by_owner(await streams.held(stream, subject)).get(FunctionKey(*queue), {})
    return found


def _consumer(trigger: Trigger, partition: int | None, ack_wait_seconds: float) -> ConsumerSpec:
    namespace, name = trigger.key.namespace, trigger.key.name
    stream, subject = _place(trigger, partition)
    return ConsumerSpec(
        stream,
        names.consumer_name(namespace, name, partition),
        subject,
        ack_wait_seconds=ack_wait_seconds,
        max_ack_pending=_MOST_UNSETTLED if partition is None else 1,
    )


def _place(trigger: Trigger, partition: int | None) -> tuple[str, str]:
    """The stream and the subject of what is to be delivered."""
    key, queue = (trigger.key.namespace, trigger.key.name), _queue(trigger)
    if queue is None and partition is None:
        return names.INBOX_STREAM, names.inbox_filter(*key)
    if queue is None:
        return names.INBOX_STREAM, names.inbox_subject(*key, partition or 0)
    if partition is None:
        return names.queue_stream(*queue), names.queue_filter(*queue)
    return names.queue_stream(*queue), names.queue_subject(*queue, partition)


def _queue(trigger: Trigger) -> tuple[str, str] | None:
    """The namespace and name of the queue that a Trigger reads, if it reads one."""
    if trigger.source.kind is not SourceKind.QUEUE:
        return None
    return trigger.key.namespace, str(trigger.source.settings.get("name", ""))


def _by_owner(subjects: Mapping[str, int]) -> Mapping[FunctionKey, Held]:
    """Counts by Trigger or queue, and partition: the last words of the subjects."""
    found: dict[FunctionKey, dict[int, int]] = {}
    for subject, count in subjects.items():
        partition = int(subject.rpartition(".")[2])
        found.setdefault(FunctionKey(*names.trigger_of(subject)), {})[partition] = count
    return found
