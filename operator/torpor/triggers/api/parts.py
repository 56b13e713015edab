"""What every call of the API works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torpor.aws.access import Access
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.objects import Objects
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.hops import Hops
from torpor.triggers.queue_partitions import QueuePartitions
from torpor.triggers.results import Results

MAX_BODY_BYTES = 16 << 20
MAX_BODIES_BYTES = 256 << 20
BODY_SECONDS = 30.0
"""How long a client may take to send its request."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How the API behaves.

    `max_bodies_bytes` bounds the large bodies that are in memory at once, all together.
    `max_places` bounds the buses and queues there may be, which their first use makes. When the
    server stops, calls may go on for `drain_seconds`.
    """

    access: Access = field(default_factory=Access)
    region: str = "us-east-1"
    account: str = "000000000000"
    max_body_bytes: int = MAX_BODY_BYTES
    max_bodies_bytes: int = MAX_BODIES_BYTES
    body_seconds: float = BODY_SECONDS
    max_places: int = 1000
    drain_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The broker and what is known of it. `wall` is Unix time, `new_id` gives random UUIDs.

    With an empty `internal_token` no gateway may hand calls over.
    """

    connection: Connection
    streams: Streams
    publisher: Publisher
    objects: Objects
    definitions: Definitions
    partitions: QueuePartitions
    results: Results
    wall: Callable[[], float]
    new_id: Callable[[], str]
    hops: Hops
    settings: ApiSettings = ApiSettings()
    internal_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, for calls in AWS's protocols.

    `base_url` is how the caller reaches this API. With an `idempotency_key` the same call, made
    again within two minutes, does the same. `trace` is the call's W3C traceparent.
    """

    base_url: str
    idempotency_key: str = ""
    trace: str | None = None
