"""The data plane as the activator drives it.

The activator owns the desired state and tells it in full (`apply`); a driver works out the
difference and brings the plane there, also after a restart of either side. Requests of a function
that is not `open` are handed to the activator (`Holder.hold`) before they go anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torpor.gateway.routes import Routes
from torpor.resources.names import FunctionKey


@dataclass(frozen=True, slots=True)
class Server:
    """An instance that takes requests: at most `limit` at once from this gateway (0: no limit)."""

    name: str
    address: str
    port: int
    limit: int
    h2c: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """What the data plane should do with one function that is awake.

    `open`: new requests go straight to `servers`. Not open (parked, or not yet released): new
    requests are handed to the activator; those already inside go on. `timeout_seconds` bounds the
    wait for an answer's headers and between bytes.
    """

    open: bool
    servers: tuple[Server, ...]
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class LaneLoad:
    """What one function has inside the data plane (held requests are not in it).

    `requests` counts since the plane started and never falls while the lane exists.
    """

    in_flight: int
    queued: int
    requests: int
    instances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Go:
    """The verdict on a held request: forward it; `cold_ms` is set for the one that woke it.

    So are `phases`: where that time went, in milliseconds.
    """

    cold_ms: int | None
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """The verdict on a request that cannot be served: an HTTP status and problem details."""

    status: int
    code: str
    detail: str
    retry_after_seconds: int | None = None


class Holder(Protocol):
    """The activator, as the data plane sees it."""

    async def hold(self, key: FunctionKey) -> Go | Refused:
        """Wait until a request of the function may be forwarded; cancel it when the client left."""
        ...


class DataPlane(Protocol):
    """A carrier of requests. Commands raise DataPlaneError when it is away; apply is repeated."""

    async def start(self, holder: Holder) -> None:
        """Begin to accept requests; nothing is routed until `set_routes`."""
        ...

    async def stop(self) -> None:
        """Refuse new connections, let open requests end (bounded), then close."""
        ...

    async def set_routes(self, routes: Routes) -> None:
        """Know these hosts and paths from now on; anything else is answered 404."""
        ...

    async def set_homes(
        self, homes: Mapping[FunctionKey, str], peers: Mapping[str, tuple[str, int]]
    ) -> None:
        """Forward requests of the functions in `homes` to the gateway named there.

        `peers` maps a gateway's name to the address and peer port it listens on. A request that
        came from another gateway is always served here, and so is one whose home is away.
        """
        ...

    async def set_reserved(self, shares: Mapping[FunctionKey, int]) -> None:
        """Let no more requests of these functions be inside or held here at once (0: none at all).

        One more is answered 429. What another gateway forwards counts here, and what is forwarded
        to another does not. Requests that came before the function had a share are not counted.
        """
        ...

    async def apply(self, key: FunctionKey, lane: Lane | None) -> None:
        """Bring one function to `lane`; None when it is asleep or gone.

        A server that is no longer listed gets no new request, finishes what it has, and leaves.
        Returns when new requests follow the new state.
        """
        ...

    async def loads(self) -> Mapping[FunctionKey, LaneLoad]:
        """Return the load of every function that has a lane."""
        ...
