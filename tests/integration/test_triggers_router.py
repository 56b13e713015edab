"""From a bus to the inboxes of the Triggers that match, against a real broker."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from tests.integration.trigger_rig import (
    event,
    inbox,
    manifest,
    numbered,
    router_parts,
    running,
)
from tests.support.servers.nats import Broker, broker, lag, needs_nats, until
from torpor.errors import InvalidResource
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.claims import check_in
from torpor.triggers.definitions import Definitions
from torpor.triggers.event import Event, from_structured, to_structured
from torpor.triggers.router import Router

pytestmark = needs_nats
BUS = names.bus_subject("shop", "main")


class Replica:
    """One replica's definitions and router."""

    def __init__(self, at: Broker) -> None:
        self.definitions = Definitions(at.connection, at.streams, wall=time.time)
        self.router = Router(router_parts(at, self.definitions))
        self.definitions.listen(self.router.heed)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.definitions.run(), name="definitions")
            tasks.create_task(self.router.run(), name="router")

    async def knows(self, *triggers: str) -> None:
        async def known() -> bool:
            return {key.name for key in self.definitions.known} == set(triggers)

        await until(known)


async def publish(at: Broker, *events: Event) -> None:
    await at.streams.ensure_bus("shop", "main")
    await at.publisher.publish_batch(
        [Outgoing(BUS, to_structured(each), f"{each.source}#{each.id}") for each in events]
    )


async def put(replica: Replica, name: str, **spec: Any) -> None:
    await replica.definitions.put(manifest(name, **spec), {"payload": "cloudevents"})


async def test_each_trigger_gets_what_its_own_filter_passes() -> None:
    async with broker() as at:
        replica = Replica(at)
        await put(replica, "all")
        await put(replica, "even", filter={"pattern": {"data": {"even": [True]}}})
        await put(replica, "typed", filter={"cesql": "type = 'special'"})
        await put(replica, "elsewhere", source={"bus": {"name": "other"}})
        async with running(replica.run()):
            await replica.knows("all", "even", "typed", "elsewhere")
            await publish(at, *(event(n, data={"even": n % 2 == 0, "n": n}) for n in range(500)))
            await publish(at, event(1000, data={"n": 1000}, type="special"))
            await lag(at, {("shop", "all"): 501, ("shop", "even"): 250, ("shop", "typed"): 1})
        assert {numbered(each)["n"] for each in await inbox(at, "even")} == set(range(0, 500, 2))


async def test_a_trigger_gets_nothing_from_before_it_was_put_and_all_from_after() -> None:
    async with broker() as at:
        replica = Replica(at)
        await publish(at, *(event(n) for n in range(100)))
        await put(replica, "late")
        await publish(at, *(event(n) for n in range(100, 200)))
        async with running(replica.run()):
            await lag(at, {("shop", "late"): 100})
            await put(replica, "later")
            await put(replica, "late", suspend=True)
            await replica.knows("late", "later")
            await publish(at, event(200))
            await lag(at, {("shop", "late"): 101, ("shop", "later"): 1})


async def test_a_deleted_trigger_gets_nothing_more() -> None:
    async with broker() as at:
        replica = Replica(at)
        await put(replica, "kept")
        await put(replica, "gone")
        async with running(replica.run()):
            await replica.knows("kept", "gone")
            await replica.definitions.delete(FunctionKey("shop", "gone"))
            await replica.knows("kept")
            await publish(at, event(1))
            await lag(at, {("shop", "kept"): 1})


async def test_two_replicas_route_each_event_once_and_a_restart_of_the_broker_loses_none() -> None:
    async with broker(sync_interval="always") as at:
        first, second = Replica(at), Replica(at)
        await put(first, "all")
        async with running(first.run(), second.run()):
            await first.knows("all")
            await second.knows("all")
            for start in range(0, 3000, 500):
                await publish(at, *(event(n) for n in range(start, start + 500)))
                if start == 1000:
                    at.server.kill()
                    await asyncio.to_thread(at.server.start)
            await until(lambda: _held(at, "all", 3000), 60)
        found = [numbered(each)["n"] for each in await inbox(at, "all")]
        assert sorted(found) == list(range(3000))


async def test_two_replicas_keep_the_order_of_a_key() -> None:
    async with broker() as at:
        first, second = Replica(at), Replica(at)
        await put(first, "all", ordering={"key": "data.k"})
        async with running(first.run(), second.run()):
            await publish(at, *(event(n, data={"k": n % 5, "n": n}) for n in range(1500)))
            await until(lambda: _held(at, "all", 1500), 30)
        found = sorted(await inbox(at, "all"), key=lambda each: each.seq)
        data = [numbered(each) for each in found]
        for key in range(5):
            assert [d["n"] for d in data if d["k"] == key] == list(range(key, 1500, 5))


async def test_what_a_dead_router_had_taken_is_routed_before_what_is_new() -> None:
    async with broker() as at:
        replica = Replica(at)
        await put(replica, "all", ordering={"key": "data.k"})
        await publish(at, *(event(n, data={"k": "a", "n": n}) for n in range(4)))
        bus = names.bus_stream("shop", "main")
        dead = PullConsumer(
            at.connection, at.streams, ConsumerSpec(bus, names.ROUTER_CONSUMER, BUS)
        )
        first, *taken = await dead.fetch(3, 5)
        await first.ack()
        assert len(taken) == 2
        await publish(at, event(4, data={"k": "a", "n": 4}))
        async with running(replica.run()):
            await until(lambda: _held(at, "all", 4))
        found = sorted(await inbox(at, "all"), key=lambda each: each.seq)
        assert [numbered(each)["n"] for each in found] == [1, 2, 3, 4]


async def test_a_router_that_is_stopped_in_the_middle_is_followed_in_order() -> None:
    async with broker() as at:
        first, second = Replica(at), Replica(at)
        await put(first, "all", ordering={"key": "data.k"})
        await publish(at, *(event(n, data={"k": "a", "n": n}) for n in range(400)))
        async with running(first.run()):
            await until(lambda: _holds_some(at, "all"))
        await publish(at, *(event(n, data={"k": "a", "n": n}) for n in range(400, 600)))
        async with running(second.run()):
            await until(lambda: _held(at, "all", 600), 60)
        found = sorted(await inbox(at, "all"), key=lambda each: each.seq)
        assert [numbered(each)["n"] for each in found] == list(range(600))


async def test_a_replica_that_has_not_heard_of_a_trigger_routes_nothing_past_it() -> None:
    async with broker() as at:
        deaf, other = Replica(at), Replica(at)
        await put(other, "first")
        async with running(deaf.router.run()):
            async with running(deaf.definitions.run()):
                await deaf.knows("first")
            await put(other, "second")
            await publish(at, *(event(n) for n in range(5)))
            await until(lambda: _taken(at, 5))
            assert await at.streams.inbox_lag() == {}
            async with running(deaf.definitions.run()):
                await lag(at, {("shop", "first"): 5, ("shop", "second"): 5})


async def test_a_wrong_filter_is_told_and_harms_nobody_else() -> None:
    async with broker() as at:
        replica = Replica(at)
        await put(replica, "good")
        await put(replica, "bad", filter={"pattern": {"data": {"n": [{"nonsense": 1}]}}})
        async with running(replica.run()):
            await replica.knows("good", "bad")
            await publish(at, event(1))
            await lag(at, {("shop", "good"): 1})
            assert list(replica.router.problems()) == [FunctionKey("shop", "bad")]


async def test_filters_see_data_that_is_kept_beside() -> None:
    async with broker() as at:
        replica = Replica(at)
        await put(replica, "all", filter={"pattern": {"data": {"kind": ["large"]}}})
        async with running(replica.run()):
            await replica.knows("all")
            large = event(1, data={"kind": "large", "text": "x" * 600_000})
            data = await check_in(large, StreamObjects(at.connection))
            await at.publisher.publish(BUS, data)
            await lag(at, {("shop", "all"): 1})
        (message,) = await inbox(at, "all")
        assert "dataref" in from_structured(message.data).attributes


async def test_putting_the_same_again_changes_nothing_and_a_new_uid_begins_anew() -> None:
    async with broker() as at:
        definitions = Definitions(at.connection, at.streams, wall=time.time)
        first = await definitions.put(manifest("all"), {})
        await publish(at, event(1))
        assert await definitions.put(manifest("all"), {}) == first
        changed = await definitions.put(manifest("all", suspend=True), {"payload": "lambda"})
        assert changed.since_seq == first.since_seq
        assert changed.facts == {"payload": "lambda"}
        again = manifest("all")
        again["metadata"]["uid"] = "another"
        assert (await definitions.put(again, {})).since_seq == 1
        assert [each.trigger.uid for each in await definitions.list()] == ["another"]
        assert await at.streams.buses() == [("shop", "main")]


async def test_a_trigger_on_a_bus_that_was_made_anew_gets_what_is_new() -> None:
    async with broker() as at:
        replica = Replica(at)
        await publish(at, *(event(n) for n in range(50)))
        await put(replica, "all")
        await at.streams.delete(names.bus_stream("shop", "main"))
        await publish(at, *(event(n) for n in range(50, 60)))
        await put(replica, "all", suspend=True)
        async with running(replica.run()):
            await lag(at, {("shop", "all"): 10})


async def test_the_source_of_a_trigger_stays() -> None:
    async with broker() as at:
        definitions = Definitions(at.connection, at.streams, wall=time.time)
        await definitions.put(manifest("all"), {})
        for source in ({"bus": {"name": "other"}}, {"queue": {"name": "main"}}):
            with pytest.raises(InvalidResource, match="delete the Trigger and create it anew"):
                await definitions.put(manifest("all", source=source), {})
        (kept,) = await definitions.list()
        assert kept.trigger.source.settings["name"] == "main"


async def _taken(at: Broker, count: int) -> bool:
    """Whether the router of the bus has so many messages that it did not acknowledge."""
    bus = names.bus_stream("shop", "main")
    state = await at.streams.consumer_state(bus, names.ROUTER_CONSUMER)
    return state is not None and state.unacknowledged == count


async def _holds_some(at: Broker, name: str) -> bool:
    return (await at.streams.inbox_lag()).get(("shop", name), 0) > 0


async def _held(at: Broker, name: str, count: int) -> bool:
    return (await at.streams.inbox_lag()).get(("shop", name)) == count
