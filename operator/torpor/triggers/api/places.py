"""Buses and queues by the names that clients use, and no more of them than there may be."""

from __future__ import annotations

from torpor.aws.errors import Refused
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.names import InvalidName
from torpor.triggers.broker.streams import Streams

DEFAULT_NAMESPACE = "default"


def place_of(name: str, what: str) -> FunctionKey:
    """Return what an AWS client's name means: `namespace.name`, or a name in `default`.

    Raises InvalidName, which says `what` it is.
    """
    namespace, separator, plain = name.replace("/", ".").partition(".")
    if not separator:
        namespace, plain = DEFAULT_NAMESPACE, namespace
    if ".fifo" in name:
        raise InvalidName(
            f"{name[:80]!r}: there are no .fifo {what}s; a {what} keeps the order of messages "
            "with the same MessageGroupId where its Trigger has ordering.key: partitionkey"
        )
    return FunctionKey(names.checked(namespace, "namespace"), names.checked(plain, what))


def spoken(key: FunctionKey) -> str:
    """Return the name that an AWS client uses for a bus or queue."""
    return key.name if key.namespace == DEFAULT_NAMESPACE else f"{key.namespace}.{key.name}"


class Places:
    """Makes buses and queues at their first use, up to a number of them."""

    def __init__(self, streams: Streams, maximum: int) -> None:
        self._streams = streams
        self._maximum = maximum
        self._known: set[str] = set()

    async def bus(self, key: FunctionKey) -> None:
        """Have the bus be there. Raises InvalidName, Refused and what `Streams` does."""
        stream = names.bus_stream(key.namespace, key.name)
        if stream not in self._known:
            await self._admit(stream)
            await self._streams.ensure_bus(key.namespace, key.name)
            self._known.add(stream)

    async def queue(self, key: FunctionKey) -> None:
        """Have the queue be there, as `bus`."""
        stream = names.queue_stream(key.namespace, key.name)
        if stream not in self._known:
            await self._admit(stream)
            await self._streams.ensure_queue(key.namespace, key.name)
            self._known.add(stream)

    async def forget(self, stream: str) -> None:
        """Look for a stream again at its next use: somebody deleted it. It must not exist."""
        self._known.discard(stream)
        await self._streams.delete(stream)

    async def _admit(self, stream: str) -> None:
        if await self._streams.state(stream) is not None:
            return
        count = len(await self._streams.buses()) + len(await self._streams.queues())
        if count >= self._maximum:
            raise Refused(
                "OverLimit",
                f"there are {count} buses and queues, and there may be {self._maximum}: "
                "delete some, or raise TORPOR_MAX_BUSES_AND_QUEUES",
                429,
            )
