"""The door for asynchronous calls of one gateway, and its way to the events role."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from torpor.gateway.deferred.door import AsyncDoor, Parts
from torpor.gateway.deferred.handover import Handover
from torpor.gateway.lambda_api.calls import Catalog
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.runs.base import Runs
from torpor.resources.tokens import internal_token
from torpor.settings import GatewaySettings


class Doors(Protocol):
    """The data plane, as far as the door stands behind it."""

    @property
    def async_socket(self) -> Path:
        """Where it expects the door."""


@asynccontextmanager
async def async_door(
    settings: GatewaySettings, catalog: Catalog, doors: Doors, key: bytes, runs: Runs
) -> AsyncIterator[Handover]:
    """Serve inside the block; yields the way to the events role, which the Lambda API takes too."""
    place = Place(settings.region, settings.account)
    async with Handover(settings.events_url, internal_token(key)) as handover:
        door = AsyncDoor(Parts(catalog, handover, place, new_id, runs=runs))
        await door.start_at(doors.async_socket)
        try:
            yield handover
        finally:
            await door.stop()


def new_id() -> str:
    """Return an id that nobody can guess."""
    return str(uuid.uuid4())
