"""What the events role is made of: each part with what it works with, over one broker."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.resources.tokens import internal_token
from torpor.resources.trigger import SourceKind, Trigger
from torpor.telemetry.tracing import Emit
from torpor.triggers.activity import Activity
from torpor.triggers.admission import admit
from torpor.triggers.api.parts import ApiParts, ApiSettings
from torpor.triggers.api.server import ApiServer
from torpor.triggers.base import OpenSource, Secrets, SourceWorld, Undecodable
from torpor.triggers.broker.connection import BrokerSettings, Connection
from torpor.triggers.broker.leases import Leases
from torpor.triggers.broker.objects import Objects, open_objects
from torpor.triggers.broker.publishing import Outgoing, Publisher, ReservePublisher
from torpor.triggers.broker.streams import ACK_WAIT_SECONDS, Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.delivery.burial import bury_undecodable
from torpor.triggers.delivery.capacity import Capacity, UnknownCapacity
from torpor.triggers.delivery.deadletters import DeadLetters
from torpor.triggers.delivery.deliveries import Deliveries
from torpor.triggers.delivery.parts import delivery_parts
from torpor.triggers.delivery.replay import Replay
from torpor.triggers.delivery.targets import Invokes, TargetWorld
from torpor.triggers.delivery.workflow_target import StartsExecutions
from torpor.triggers.hops import Hops
from torpor.triggers.intake import IntakeParts
from torpor.triggers.intakes import Intakes
from torpor.triggers.operations import Operations
from torpor.triggers.positions import StoredPositions
from torpor.triggers.queue_partitions import QueuePartitions
from torpor.triggers.renewal import Renewal
from torpor.triggers.results import Results
from torpor.triggers.router import Router, RouterParts
from torpor.triggers.sources import catalog
from torpor.triggers.withdrawal import Withdrawal


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is around the role.

    `key` is the installation's secret, `identity` unique among replicas. `engine` is None where no
    Workflows are run, `api` where there is no cluster, `emit` where no traces are sent. Ports may
    be 0: a free one is taken.
    """

    broker: BrokerSettings
    key: bytes = field(repr=False)
    identity: str
    secrets: Secrets
    invoker: Invokes
    engine: StartsExecutions | None = None
    api: Any = None
    objects_url: str = ""
    capacity: Capacity = field(default_factory=UnknownCapacity)
    api_settings: ApiSettings = field(default_factory=ApiSettings)
    emit: Emit | None = None
    ack_wait_seconds: float = ACK_WAIT_SECONDS
    drain_seconds: float = 20.0
    host: str = "127.0.0.1"
    api_port: int = 0
    internal_port: int = 0
    sources: Mapping[SourceKind, OpenSource] = field(default_factory=lambda: catalog.SOURCES)


@dataclass(frozen=True, slots=True)
class Base:
    """What everything that runs works with; its methods make the parts."""

    around: Surroundings
    connection: Connection
    streams: Streams
    publisher: Publisher
    objects: Objects
    leases: Leases
    definitions: Definitions
    partitions: QueuePartitions
    positions: StoredPositions
    results: Results
    hops: Hops

    @classmethod
    def of(cls, around: Surroundings, connection: Connection) -> Base:
        """Return it for a connection; nothing is asked of the broker yet."""
        streams = Streams(connection)
        return cls(
            around=around,
            connection=connection,
            streams=streams,
            publisher=Publisher(connection),
            objects=open_objects(connection, around.objects_url),
            leases=Leases(connection, around.identity, clock=time.monotonic),
            definitions=Definitions(connection, streams, wall=time.time),
            partitions=QueuePartitions(),
            positions=StoredPositions(connection),
            results=Results(connection),
            hops=Hops(around.emit, time.time),
        )

    @property
    def world(self) -> SourceWorld:
        """What sources may use."""
        return SourceWorld(
            secrets=self.around.secrets,
            positions=self.positions,
            wall=time.time,
            sleep=asyncio.sleep,
            subscribed=_nothing,
            api=self.around.api,
            objects_url=self.around.objects_url,
        )

    def router(self) -> Router:
        """From buses to inboxes."""
        return Router(
            RouterParts(
                self.connection,
                self.streams,
                ReservePublisher(self.connection),
                self.objects,
                self.leases,
                time.monotonic,
                self.definitions.caught_up,
                self.hops,
            )
        )

    def intakes(self) -> Intakes:
        """From sources to inboxes."""

        def bury(trigger: Trigger, undecodable: Undecodable) -> Outgoing:
            return bury_undecodable(trigger, undecodable, time.time())

        parts = IntakeParts(
            self.publisher,
            self.objects,
            self.leases,
            bury,
            time.monotonic,
            random.random,
            self.hops,
        )
        return Intakes(self.around.sources, self.world, parts)

    def deliveries(self) -> Deliveries:
        """From inboxes to targets."""
        world = TargetWorld(
            self.around.invoker,
            self.around.engine,
            self.streams,
            ReservePublisher(self.connection),
            self.objects,
            self.partitions,
        )
        parts = delivery_parts(
            self.connection,
            world,
            self.around.capacity,
            self.results,
            self.hops,
            ack_wait_seconds=self.around.ack_wait_seconds,
            wall=time.time,
            clock=time.monotonic,
            chance=random.random,
        )
        return Deliveries(parts)

    def operations(self, dead_letters: DeadLetters, activity: Activity) -> Operations:
        """What people ask for."""
        world, sources = self.world, self.around.sources
        return Operations(
            self.definitions,
            self.streams,
            dead_letters,
            Replay(self.connection, self.streams, self.publisher, self.objects, time.monotonic),
            activity,
            lambda key, obj: admit(key, obj, sources, world),
            time.time,
            self.objects,
        )

    def renewal(self) -> Renewal:
        """What keeps large data alive."""
        return Renewal(self.connection, self.streams, wall=time.time)

    def withdrawal(self) -> Withdrawal:
        """What removes Triggers."""
        world = self.world

        async def forget(trigger: Trigger) -> None:
            await catalog.forget(trigger, world)

        return Withdrawal(self.definitions, self.streams, self.positions, forget)

    def server(self) -> ApiServer:
        """The events API."""
        parts = ApiParts(
            connection=self.connection,
            streams=self.streams,
            publisher=self.publisher,
            objects=self.objects,
            definitions=self.definitions,
            partitions=self.partitions,
            results=self.results,
            wall=time.time,
            new_id=_uuid,
            hops=self.hops,
            settings=self.around.api_settings,
            internal_token=internal_token(self.around.key),
        )
        return ApiServer(parts)


def _nothing() -> None:
    """Each intake puts its own in this one's place."""


def _uuid() -> str:
    return str(uuid.uuid4())
