"""Where each Trigger's events are until they are delivered, and who consumes them there.

That is the Trigger's own inbox, or the queue that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.listing import QUEUES
from torpor.triggers.broker.many import ask_each
from torpor.triggers.broker.streams import ConsumerSpec, Streams
from torpor.triggers.definitions import Definition

_MOST_UNSETTLED = 20_000
"""In flight and waiting for their next attempts; beyond it nothing new is taken."""

Held = Mapping[int, int]
"""Messages by partition; without order, all of a queue's in 0."""


def consumers(trigger: Trigger, ack_wait_seconds: float) -> Mapping[int | None, ConsumerSpec]:
    """Return the consumers: one (None), or one for each partition, with one message in flight."""
    partitions = [None] if trigger.ordering_key is None else range(names.PARTITIONS)
    return {each: _consumer(trigger, each, ack_wait_seconds) for each in partitions}


async def held(
    streams: Streams, known: Mapping[FunctionKey, Definition]
) -> Mapping[FunctionKey, Held]:
    """Return what is held for each Trigger.

    One request for all inboxes, one for 256 queues, and one for each queue whose messages are in
    order and of which there are any. Raises BrokerAway.
    """
    inboxes = _by_owner(await streams.held(names.INBOX_STREAM, "torpor.inbox.>"))
    of_queues = {key: each for key, each in known.items() if each.queue is not None}
    queued = await _queued(streams, of_queues) if of_queues else {}
    return {key: queued[key] if key in queued else inboxes.get(key, {}) for key in known}


async def _queued(
    streams: Streams, known: Mapping[FunctionKey, Definition]
) -> Mapping[FunctionKey, Held]:
    """Return what the queues hold that these Triggers read."""
    states = await streams.states(QUEUES)

    async def ask(key: FunctionKey) -> Held:
        definition = known[key]
        assert definition.queue is not None
        state = states.get(names.queue_stream(*definition.queue))
        if state is None or not state.messages:
            return {}
        if definition.trigger.ordering_key is None:
            return {0: state.messages}
        subject = names.queue_filter(*definition.queue)
        found = _by_owner(await streams.held(state.name, subject))
        return found.get(FunctionKey(*definition.queue), {})

    return await ask_each(known, ask)


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
