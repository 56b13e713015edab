"""The Lambda API of `torpor dev`, and its door for calls and runs: on this machine only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from torpor.aws.access import Access
from torpor.dev.runs.door import LocalRunsDoor
from torpor.dev.runs.keeper import LocalRuns
from torpor.gateway.activator import Activator
from torpor.gateway.dataplane.base import Server
from torpor.gateway.dataplane.inprocess import InProcessDataPlane
from torpor.gateway.deferred.door import AsyncDoor
from torpor.gateway.deferred.door import Parts as DoorParts
from torpor.gateway.deferred.handover import Handover
from torpor.gateway.deferred.serving import new_id
from torpor.gateway.lambda_api.deferred import Deferred
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.lambda_api.server import LambdaApi, Parts
from torpor.gateway.lambda_api.serving import invoker

HOST = "127.0.0.1"
_REMEDY = "start torpor dev with --events"


class EventsApi(Protocol):
    """Where the events role of this run takes calls, and what it asks of who hands them over."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    @property
    def token(self) -> str:
        """The internal token."""
        ...


@asynccontextmanager
async def lambda_api(
    activator: Activator,
    plane: InProcessDataPlane,
    key: bytes,
    handover: Handover,
    runs: LocalRuns,
) -> AsyncIterator[None]:
    """Serve the API behind `plane` inside the block."""
    async with invoker(f"http://{HOST}:{plane.port}", key) as invoking:
        deferred = Deferred(activator, handover, Place(), new_id, runs)
        api = LambdaApi(Parts(activator, invoking, Place(), Access(), deferred))
        await api.start(HOST, 0)
        plane.set_lambda(Server("lambda", HOST, api.port, 0))
        try:
            yield
        finally:
            await api.stop()


@asynccontextmanager
async def async_door(
    activator: Activator, plane: InProcessDataPlane, events: EventsApi | None, runs: LocalRuns
) -> AsyncIterator[Handover]:
    """Take asynchronous calls and runs behind `plane` inside the block; yields the calls' way."""
    url, token = (events.url, events.token) if events else ("", "")
    async with Handover(url, token, _REMEDY) as handover:
        parts = DoorParts(activator, handover, Place(), new_id, runs=runs)
        door = AsyncDoor(parts, LocalRunsDoor(runs, new_id))
        await door.start(HOST, 0)
        plane.set_async(Server("async", HOST, door.port, 0))
        try:
            yield handover
        finally:
            await door.stop()
