"""Which module reads which kind of source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.base import OpenSource, SourceWorld
from torpor.triggers.sources import (
    kafka,
    kubernetes,
    mqtt,
    postgres,
    rabbitmq,
    redis,
    schedule,
    storage,
)

SOURCES: Final[Mapping[SourceKind, OpenSource]] = MappingProxyType(
    {
        SourceKind.KAFKA: kafka.open_source,
        SourceKind.KUBERNETES: kubernetes.open_source,
        SourceKind.MQTT: mqtt.open_source,
        SourceKind.POSTGRES: postgres.open_source,
        SourceKind.RABBITMQ: rabbitmq.open_source,
        SourceKind.REDIS: redis.open_source,
        SourceKind.SCHEDULE: schedule.open_source,
        SourceKind.STORAGE: storage.open_source,
    }
)
"""Those that are read. Requests (http), buses and queues come to their Triggers by themselves."""


async def forget(trigger: Trigger, world: SourceWorld) -> None:
    """Remove what a deleted Trigger's source has made at its server.

    SourceAway: it is still there, try again. SourceMisconfigured: somebody has to remove it.
    """
    if trigger.source.kind is SourceKind.POSTGRES:
        await postgres.open_source(trigger, world).forget()
    if trigger.source.kind is SourceKind.MQTT:
        await mqtt.open_source(trigger, world).forget()
