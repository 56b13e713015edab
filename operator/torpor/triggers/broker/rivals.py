"""The consumers in the way of another one: a work queue gives a message to one consumer.

A Trigger has one for all, or one for each partition when its events are in order. When that is
switched, those of before first come to the end of what they had taken: else it would be delivered
twice. What only waits for its next attempt cannot be told from that, but for that nothing happens.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from torpor.triggers.broker import names
from torpor.triggers.broker.specs import ConsumerSpec

if TYPE_CHECKING:
    from torpor.triggers.broker.streams import Streams

MOST_SECONDS = 60.0
"""As long as deliveries may go on whose Trigger was changed."""
QUIET_SECONDS = 3.0
"""When nothing came to its end for so long, what is left is taken to wait."""
_LOOK_SECONDS = 0.2


async def remove_rivals(streams: Streams, spec: ConsumerSpec) -> None:
    """Delete what is in the way of this consumer, once what it had taken is settled.

    SQS's receivers are not waited for: they may keep a message for hours. Raises BrokerAway.
    """
    rivals = _rivals(spec)
    with suppress(TimeoutError):  # what they have taken then is delivered again
        async with asyncio.timeout(MOST_SECONDS):
            await _ended(streams, spec.stream, rivals)
    await streams.delete_receivers(spec.stream)
    for name in rivals:
        await streams.delete_consumer(spec.stream, name)


def _rivals(spec: ConsumerSpec) -> list[str]:
    owner = "_".join(spec.name.split("_")[:2])
    if spec.name != owner:
        return [owner]
    return [f"{owner}_{number}" for number in range(names.PARTITIONS)]


async def _ended(streams: Streams, stream: str, consumers: list[str]) -> None:
    loop = asyncio.get_running_loop()
    before, changed = -1, loop.time()
    while (taken := await _taken(streams, stream, consumers)) > 0:
        if taken != before:
            before, changed = taken, loop.time()
        if loop.time() - changed > QUIET_SECONDS:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _taken(streams: Streams, stream: str, consumers: list[str]) -> int:
    states = [await streams.consumer_state(stream, name) for name in consumers]
    return sum(state.unacknowledged for state in states if state is not None)
