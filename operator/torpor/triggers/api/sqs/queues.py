"""The queues that there are: by the names and URLs of clients, with their attributes.

What is known of a queue is believed for some seconds, so that another replica's change of its
attributes, or its deletion, is seen after that at the latest.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.places import Places, queue_of, spoken
from torpor.triggers.api.sqs import errors
from torpor.triggers.api.sqs.queue_attributes import QueueAttributes
from torpor.triggers.broker import names
from torpor.triggers.broker.names import InvalidName
from torpor.triggers.broker.queue_notes import read_notes, write_notes
from torpor.triggers.definitions import Definition

BELIEVED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue, as it was at `read_at` (Unix time)."""

    key: FunctionKey
    attributes: QueueAttributes
    created_seconds: float
    messages: int
    read_at: float

    @property
    def stream(self) -> str:
        """Its stream."""
        return names.queue_stream(self.key.namespace, self.key.name)


class Queues:
    """All queues. `heed` is to listen to the definitions: which Triggers use which queue."""

    def __init__(self, parts: ApiParts, places: Places) -> None:
        self._parts = parts
        self._places = places
        self._known: dict[FunctionKey, Queue] = {}
        self._readers: dict[FunctionKey, FunctionKey] = {}
        """The queue of each Trigger that reads one."""
        self._writers: dict[FunctionKey, FunctionKey] = {}
        """The queue of each Trigger whose target is one."""

    def heed(self, key: FunctionKey, definition: Definition | None) -> None:
        """Take note of a Trigger."""
        self._readers.pop(key, None)
        self._writers.pop(key, None)
        trigger = None if definition is None else definition.trigger
        if trigger is not None and trigger.source.kind is SourceKind.QUEUE:
            name = str(trigger.source.settings.get("name", ""))
            self._readers[key] = FunctionKey(key.namespace, name)
        if trigger is not None and trigger.target.kind is TargetKind.QUEUE:
            self._writers[key] = FunctionKey(key.namespace, trigger.target.name)

    def reader(self, queue: FunctionKey) -> FunctionKey | None:
        """Return the Trigger that reads a queue."""
        found = (trigger for trigger, read in self._readers.items() if read == queue)
        return next(found, None)

    def writer(self, queue: FunctionKey) -> FunctionKey | None:
        """Return a Trigger whose target is a queue."""
        found = (trigger for trigger, written in self._writers.items() if written == queue)
        return next(found, None)

    async def at(self, url: str) -> Queue:
        """Return the queue of a URL; QueueDoesNotExist when there is none."""
        return await self.named(urlsplit(url).path.rpartition("/")[2] or url)

    async def named(self, name: str) -> Queue:
        """Return the queue of a name."""
        key = key_of(name)
        known = self._known.get(key)
        if known is not None and self._parts.wall() - known.read_at < BELIEVED_SECONDS:
            return known
        return await self.fresh(key)

    async def fresh(self, key: FunctionKey) -> Queue:
        """Return a queue as it is now."""
        stream = names.queue_stream(key.namespace, key.name)
        notes = await read_notes(self._parts.connection, stream)
        if notes is None:
            self._known.pop(key, None)
            raise errors.queue_missing()
        queue = Queue(
            key,
            QueueAttributes.read(notes.text, key.name),
            notes.created_seconds,
            notes.messages,
            self._parts.wall(),
        )
        self._known[key] = queue
        return queue

    async def make(self, key: FunctionKey, attributes: QueueAttributes) -> None:
        """Make a queue."""
        await self._places.queue(key)
        await self.set(key, attributes)

    async def set(self, key: FunctionKey, attributes: QueueAttributes) -> None:
        """Have a queue have these attributes."""
        stream = names.queue_stream(key.namespace, key.name)
        await write_notes(self._parts.connection, stream, attributes.notes())
        self._known.pop(key, None)

    async def forget(self, queue: Queue) -> None:
        """Delete a queue with all it holds."""
        self._known.pop(queue.key, None)
        await self._places.forget(queue.stream)

    async def all(self, prefix: str) -> list[str]:
        """Return the names of all queues that begin so, in order."""
        keys = [FunctionKey(*owner) for owner in await self._parts.streams.queues()]
        return sorted(name for name in map(spoken, keys) if name.startswith(prefix))

    def url(self, key: FunctionKey, base_url: str) -> str:
        """Return a queue's URL."""
        return f"{base_url}/{self._parts.settings.account}/{spoken(key)}"

    def arn(self, key: FunctionKey) -> str:
        """Return a queue's ARN."""
        settings = self._parts.settings
        return f"arn:aws:sqs:{settings.region}:{settings.account}:{spoken(key)}"


def key_of(name: str) -> FunctionKey:
    """Return what a queue's name means; refuses one that cannot be."""
    try:
        return queue_of(name)
    except InvalidName as error:
        raise errors.invalid("QueueName", name[:80], str(error)) from None
