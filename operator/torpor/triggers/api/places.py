"""Buses and queues by the names that clients use, and no more of them than there may be."""

from __future__ import annotations

from torpor.aws.errors import Refused
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.streams import Streams

DEFAULT_NAMESPACE = "default"


def bus_of(name: str) -> FunctionKey:
    """Return what an AWS client's name of a bus means: `namespace.name`, or a name in `default`.

    Raises InvalidName.
    """
    namespace, plain = _divided(name)
    return FunctionKey(names.checked(namespace, "namespace"), names.checked(plain, "bus"))


def queue_of(name: str) -> FunctionKey:
    """Return what an AWS client's name of a queue means, as `bus_of`: `.fifo` is part of it."""
    plain = name.removesuffix(names.FIFO_SUFFIX)
    namespace, queue = _divided(plain)
    checked = names.checked_queue(queue + name[len(plain) :])
    return FunctionKey(names.checked(namespace, "namespace"), checked)


def _divided(name: str) -> tuple[str, str]:
    namespace, separator, plain = name.replace("/", ".").partition(".")
    return (namespace, plain) if separator else (DEFAULT_NAMESPACE, namespace)


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
