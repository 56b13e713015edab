"""What the parts of Triggers agree on: how a source hands events over, and what it may use.

A source is one module in `sources/` with one class: `subscribe()` yields what arrives, and each
thing yielded is acknowledged once it is safe in the broker, never before. All that follows, from
the filter to the dead letter, is the same for every source.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from torpor.errors import TorporError
from torpor.resources.trigger import Trigger
from torpor.triggers.event import Event


class SourceAway(TorporError):
    """The source cannot be reached now; it is tried again with growing pauses."""

    code = "source-away"


class SourceMisconfigured(TorporError):
    """Trying again would not help until somebody changes the Trigger, its Secret or the source."""

    code = "source-misconfigured"


class BrokerAway(TorporError):
    """JetStream did not answer in time, or is not connected; what was asked may have happened."""

    code = "broker-away"


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Something arrived that is no event: it is dead-lettered with its bytes as they came."""

    raw: bytes
    reason: str
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Received:
    """One thing that arrived. `ack` once it is stored; `nak` when it was not: it comes again.

    Acknowledgement may be for all before it too, where the source knows only positions: things are
    acknowledged in the order in which they came.
    """

    content: Event | Undecodable
    ack: Callable[[], Awaitable[None]]
    nak: Callable[[], Awaitable[None]]


class Source(Protocol):
    """One subscription of one Trigger."""

    exclusive: bool
    """Whether at most one process may read at a time (it then holds a lease)."""

    def subscribe(self) -> AsyncIterator[Received]:
        """Yield what arrives, from where the last acknowledged thing was, until closed.

        The first value may take as long as the source is quiet; `subscribed` of the world is called
        once reading has begun. SourceAway and SourceMisconfigured end the iteration.
        """
        ...


class Secrets(Protocol):
    """Secrets in the namespaces of Triggers."""

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """Return the fields of a Secret; SourceMisconfigured when it may not be read or is not."""
        ...


class Positions(Protocol):
    """Where a source was, for those that do not remember their readers. Durable."""

    async def get(self, trigger: Trigger, name: str) -> bytes | None:
        """Return what was put last under this name for this Trigger (by uid), or None."""
        ...

    async def put(self, trigger: Trigger, name: str, value: bytes) -> None:
        """Keep `value`; BrokerAway when that is not certain."""
        ...


@dataclass(frozen=True, slots=True)
class SourceWorld:
    """What a source may use besides its own server.

    `wall` gives Unix seconds. `subscribed` says that events now arrive. `api` is a client of the
    Kubernetes API, or None where there is none (`torpor dev`). `objects_url` is the object store's
    URL, or empty.
    """

    secrets: Secrets
    positions: Positions
    wall: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    subscribed: Callable[[], None]
    api: Any = None
    objects_url: str = ""


OpenSource = Callable[[Trigger, SourceWorld], Source]
"""Each module in `sources/` has one: SourceMisconfigured when the settings make no sense."""
