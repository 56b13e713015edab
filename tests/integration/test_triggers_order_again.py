"""Order by key where events are published once more that were delivered before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tests.integration.delivery_rig import called, definition, delivering
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import Broker, broker, lag, lost, needs_nats, until
from torpor.triggers.definitions import Definition
from torpor.triggers.event import Event, to_structured
from torpor.triggers.inbox import PLACE, enter, entrance

pytestmark = needs_nats

ONE = definition(ordering={"key": "data.key"})


def numbered(*numbers: int) -> list[Event]:
    return [event(n, {"key": "k"}) for n in numbers]


async def routed(at: Broker, into: Definition, events: Sequence[Event], since: float = 1.0) -> None:
    """Put events into the inbox as the router does; the bus got them at `since`."""
    way = entrance(into.trigger)
    messages = [
        way.message(each, to_structured(each), {PLACE: f"bus_shop_main {each.id} {since}"})
        for each in events
    ]
    await enter(at.publisher, messages)


async def restarted(at: Broker) -> None:
    at.server.kill()
    await lost(at.connection)
    await asyncio.to_thread(at.server.start)

    async def back() -> bool:
        return at.connection.ready

    await until(back)


async def test_what_was_delivered_and_is_routed_again_does_not_come_behind_what_is_newer() -> None:
    release = asyncio.Event()

    async def behave(call: Call) -> int:
        if call.ids == ["3"]:
            await release.wait()
        return 200

    async with broker() as at, functions(behave) as to, delivering(at, to, ONE):
        await routed(at, ONE, numbered(1, 2, 3, 4))
        await called(to, 3)
        await lag(at, {("shop", "orders"): 2})
        await restarted(at)
        await routed(at, ONE, numbered(1, 2, 3, 4, 5))
        release.set()
        await lag(at, {})
        assert list(dict.fromkeys(to.ids)) == ["1", "2", "3", "4", "5"]
        assert to.ids == sorted(to.ids), "none came again behind a newer one"
        assert to.ids.count("1") == 1


async def test_what_a_new_bus_brings_is_new() -> None:
    async with broker() as at, functions() as to, delivering(at, to, ONE):
        await routed(at, ONE, numbered(1, 2))
        await lag(at, {})
        await restarted(at)
        await routed(at, ONE, numbered(1, 2), since=time.time())
        await called(to, 4)
        await lag(at, {})
        assert to.ids == ["1", "2", "1", "2"]


async def test_what_a_source_publishes_again_is_known_for_as_long_as_the_broker_knows_ids() -> None:
    async with broker() as at, functions() as to, delivering(at, to, ONE):
        way = entrance(ONE.trigger)
        messages = [way.message(each, to_structured(each)) for each in numbered(1, 2)]
        await enter(at.publisher, messages)
        await lag(at, {})
        await restarted(at)
        await enter(at.publisher, messages)
        await enter(at.publisher, [way.message(*_encoded(each)) for each in numbered(3)])
        await lag(at, {})
        assert to.ids == ["1", "2", "3"]


def _encoded(each: Event) -> tuple[Event, bytes]:
    return each, to_structured(each)
