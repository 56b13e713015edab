"""What many streams hold: one request for 256 of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.specs import StreamState

ALL = "torpor.>"
BUSES = "torpor.bus.>"
QUEUES = "torpor.queue.>"


async def listed(connection: Connection, subject: str) -> dict[str, StreamState]:
    """Return, by name, the streams of a subject (`*` and `>` allowed). Raises BrokerAway."""
    return {state.name: state async for state in _states(connection, subject)}


async def _states(connection: Connection, subject: str) -> AsyncIterator[StreamState]:
    offset = 0
    while True:
        answer = await call(connection, "STREAM.LIST", {"subject": subject, "offset": offset})
        page = answer.get("streams") or []
        for found in page:
            yield StreamState.of(found)
        offset += len(page)
        if not page or offset >= answer.get("total", 0):
            return
