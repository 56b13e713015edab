"""What a bus has taken and not routed yet, for each of its Triggers: at most as many are for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.listing import BUSES
from torpor.triggers.broker.many import ask_each
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definition


@dataclass(frozen=True, slots=True)
class _Behind:
    """The messages of a bus that are not routed, and its last one."""

    messages: int = 0
    last_seq: int = 0


async def unrouted(
    streams: Streams, known: Mapping[FunctionKey, Definition]
) -> Mapping[FunctionKey, int]:
    """Return the most that each Trigger of a bus may still get of what its bus holds.

    Filters have not looked at it, so that it may be fewer. One listing, and a request for each bus
    that has a Trigger. Raises BrokerAway.
    """
    buses = {bus for definition in known.values() if (bus := definition.bus) is not None}
    if not buses:
        return {}
    stored = await streams.states(BUSES)

    async def behind(bus: tuple[str, str]) -> _Behind:
        state = stored.get(names.bus_stream(*bus))
        if state is None or not state.messages:
            return _Behind()
        router = await streams.consumer_state(state.name, names.ROUTER_CONSUMER)
        count = state.messages if router is None else router.pending + router.unacknowledged
        return _Behind(count, state.last_seq)

    found = await ask_each(buses, behind)
    return {
        key: min(found[bus].messages, max(0, found[bus].last_seq - definition.since_seq))
        for key, definition in known.items()
        if (bus := definition.bus) is not None
    }
