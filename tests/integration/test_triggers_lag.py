"""What a Trigger has still to get, wherever it is now, and at what cost that is known."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.integration.trigger_rig import event, manifest, router_parts, running, trigger
from tests.support.events_role import called, role
from tests.support.servers.function import functions
from tests.support.servers.nats import Broker, broker, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.definitions import Definition, Definitions
from torpor.triggers.delivery.inboxes import held
from torpor.triggers.event import to_structured
from torpor.triggers.router import Router
from torpor.triggers.unrouted import unrouted

pytestmark = needs_nats
ORDERS = FunctionKey("shop", "orders")
FUNCTION = {"function": {"name": "handler"}}
ALL = 10
ROOM = 3


def definition(name: str, since_seq: int = 0, **spec: Any) -> Definition:
    return Definition(trigger(name, **spec), {}, 0.0, since_seq, 1, manifest(name, **spec))


async def publish(at: Broker, count: int) -> None:
    subject = names.bus_subject("shop", "main")
    await at.publisher.publish_batch(
        [Outgoing(subject, to_structured(event(n)), str(n)) for n in range(count)]
    )


async def test_what_a_bus_has_not_routed_counts_from_where_a_trigger_begins() -> None:
    known = {
        FunctionKey("shop", each.trigger.key.name): each
        for each in (
            definition("old"),
            definition("new", since_seq=4),
            definition("other", source={"bus": {"name": "quiet"}}),
            definition("queue", source={"queue": {"name": "q"}}),
        )
    }
    async with broker() as at:
        await at.streams.ensure_bus("shop", "main")
        await publish(at, ALL)
        found = await unrouted(at.streams, known)
        assert {key.name: count for key, count in found.items()} == {
            "old": ALL,
            "new": ALL - 4,
            "other": 0,
        }

        definitions = Definitions(at.connection, at.streams, wall=lambda: 0.0)
        router = Router(router_parts(at, definitions))
        for key, each in known.items():
            router.heed(key, each)
        async with running(definitions.run(), router.run()):

            async def routed() -> bool:
                return not any((await unrouted(at.streams, known)).values())

            await until(routed)


async def test_what_waits_before_a_full_inbox_is_lag_and_the_trigger_says_why() -> None:
    gate = asyncio.Event()

    async def blocked(_: Any) -> int:
        await gate.wait()
        return 204

    async with functions(blocked) as to, role(to, inbox_messages=ROOM) as at:
        await at.put(ORDERS, {"source": {"bus": {"name": "b"}}, "target": FUNCTION})
        for number in range(ALL):
            await at.publish(number)

        async def told() -> bool:
            (standing,) = await at.standings.survey()
            # of a batch that the inbox refused in part, some are there and not routed yet
            return standing.reason == "BrokerFull" and standing.lag + standing.waiting >= ALL

        await until(told)
        assert await at.standings.lags() == {FunctionKey("shop", "handler"): {"orders": ROOM}}
        gate.set()
        await until(called(to, ALL), 20)
        assert sorted(to.ids, key=int) == [str(number) for number in range(ALL)]

        async def empty() -> bool:
            (standing,) = await at.standings.survey()
            return (standing.reason, standing.lag, standing.waiting) == ("Subscribed", 0, 0)

        await until(empty)


async def test_the_lag_of_many_queues_costs_a_listing_and_a_request_for_each_ordered_one() -> None:
    many = 300  # more than one page of a listing
    known = {
        FunctionKey("shop", f"t-{n}"): definition(f"t-{n}", source={"queue": {"name": f"q-{n}"}})
        for n in range(many)
    }
    async with broker() as at:
        for number in range(many):
            await at.streams.ensure_queue("shop", f"q-{number}")
        ordered = definition("t-299", source={"queue": {"name": "q-299"}}, ordering={"key": "id"})
        known[FunctionKey("shop", "t-299")] = ordered
        for queue, partition in (("q-7", 0), ("q-7", 3), ("q-299", 3)):
            await at.publisher.publish(names.queue_subject("shop", queue, partition), b"x")
        before = await requests(at)
        found = await held(at.streams, known)
        assert await requests(at) - before <= 5  # the inboxes, two pages, an ordered queue, this
        assert {key.name: dict(each) for key, each in found.items() if each} == {
            "t-7": {0: 2},
            "t-299": {3: 1},
        }


async def requests(at: Broker) -> int:
    """How many requests JetStream has answered."""
    return int((await call(at.connection, "INFO"))["api"]["total"])
