"""Which partition of a queue an event goes to: that of the ordered Trigger that reads the queue.

Who publishes to a queue does not know the Trigger; here is known what each queue's readers ask for.
A FIFO queue is in partitions whoever reads it: each group of messages is in one.
`heed` is to listen to the definitions.
"""

from __future__ import annotations

from collections.abc import Callable

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.broker.names import is_fifo
from torpor.triggers.definitions import Definition
from torpor.triggers.event import Event
from torpor.triggers.partition import partition_of_group, partitioning


class QueuePartitions:
    """The partition functions of the queues that have an ordered Trigger."""

    def __init__(self) -> None:
        self._queues: dict[FunctionKey, FunctionKey] = {}
        """The queue of each Trigger that reads one in order."""
        self._partitionings: dict[FunctionKey, Callable[[Event], int]] = {}

    def heed(self, key: FunctionKey, definition: Definition | None) -> None:
        """Take note of a Trigger."""
        before = self._queues.pop(key, None)
        if before is not None:
            self._partitionings.pop(before, None)
        queue = None if definition is None else _ordered_queue(definition.trigger)
        if definition is None or queue is None:
            return
        self._queues[key] = queue
        self._partitionings[queue] = partitioning(definition.trigger)

    def ordered(self, queue: FunctionKey) -> bool:
        """Whether what goes to a queue has to stay in order."""
        return is_fifo(queue.name) or queue in self._partitionings

    def partition(self, queue: FunctionKey, event: Event) -> int:
        """Return the partition for an event; `queue` is its namespace and name."""
        if is_fifo(queue.name):
            return partition_of_group(event)
        found = self._partitionings.get(queue)
        return 0 if found is None else found(event)


def _ordered_queue(trigger: Trigger) -> FunctionKey | None:
    if trigger.source.kind is not SourceKind.QUEUE or trigger.ordering_key is None:
        return None
    try:
        partitioning(trigger)
    except ValueError:
        return None  # a Trigger whose key is no JMESPath is told so by its own delivery
    return FunctionKey(trigger.key.namespace, str(trigger.source.settings.get("name", "")))
