"""From inbox to target, against a real broker and a real HTTP server."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import dataclass

import orjson
import pytest
from aiohttp import web

from tests.integration.delivery_rig import (
    QUICK,
    Outside,
    called,
    dead,
    definition,
    delivering,
    key,
    put,
    stored,
)
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import broker, lag, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.claims import redeem
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery import claiming
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.event import from_structured, to_structured
from torpor.triggers.inbox import entrance

pytestmark = needs_nats


async def test_an_event_reaches_its_function_and_leaves_the_inbox() -> None:
    one = definition(target={"function": {"name": "handler", "path": "/orders", "method": "PUT"}})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(7, {"total": 3}, extensions={"shop": "north"})])
        await called(to, 1)
        await lag(at, {})
        (call,) = to.calls
        assert (call.function, call.method, call.path) == ("shop/handler", "PUT", "/orders")
        assert call.headers["ce-id"] == "7"
        assert call.headers["ce-shop"] == "north"
        assert call.headers["Content-Type"] == "application/json"
        assert call.headers["X-Request-Id"] == f"{call.headers['Idempotency-Key']}-1"
        assert call.body == b'{"total":3}'


async def test_the_events_own_trace_is_gone_on_with() -> None:
    one = definition()
    origin = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(1, extensions={"traceparent": origin})])
        await called(to, 1)
        headers = to.calls[0].headers
        assert headers["ce-traceparent"] == origin
        assert headers["traceparent"].startswith("00-0af7651916cd43dd8448eb211c80319c-")
        assert headers["traceparent"] != origin


async def test_attributes_too_long_for_headers_come_in_the_body() -> None:
    one = definition()
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(1, extensions={"long": "x" * 20_000})])
        await called(to, 1)
        (call,) = to.calls
        assert call.headers["Content-Type"] == "application/cloudevents+json"
        assert call.events[0].extensions["long"] == "x" * 20_000


async def test_large_data_is_fetched_back() -> None:
    one = definition()
    data = {"blob": "x" * 2_000_000}
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(1, data)])
        await called(to, 1)
        assert to.calls[0].events[0].data == data
        assert "ce-dataref" not in to.calls[0].headers


async def test_a_function_gets_what_the_transform_made_of_the_event() -> None:
    one = definition(transform={"input": {"order": "${id}", "sum": "${data.total}"}})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(7, {"total": 3})])
        await called(to, 1)
        (call,) = to.calls
        assert orjson.loads(call.body) == {"order": "7", "sum": 3}
        assert (call.headers["ce-id"], call.headers["Content-Type"]) == ("7", "application/json")


async def test_an_event_that_cannot_be_transformed_is_given_up() -> None:
    one = definition(transform={"jsonata": "data.total > 1 ? $error('too dear') : data"})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(1, {"total": 3}), event(2, {"total": 1})])
        (letter,) = await dead(at, 1)
        await lag(at, {})
        assert "too dear" in letter["error"]
        assert to.ids == ["2"]


async def test_what_is_no_event_is_given_up_with_its_bytes() -> None:
    one = definition()
    async with broker() as at, functions() as to, delivering(at, to, one):
        await at.publisher.publish(names.inbox_subject("shop", "orders"), b"\x00nonsense")
        (letter,) = await dead(at, 1)
        await lag(at, {})
        assert (letter["event"], letter["raw"]) == (None, "AG5vbnNlbnNl")
        assert to.calls == []


async def test_a_bus_and_a_queue_get_events_once() -> None:
    to_bus = definition("b", target={"bus": {"name": "next"}})
    to_queue = definition(
        "q", target={"queue": {"name": "jobs"}}, transform={"jsonata": "{'total': data.total + 1}"}
    )
    async with broker() as at, functions() as to, delivering(at, to, to_bus, to_queue):
        for one in (to_bus, to_queue):
            await put(at, one, [event(1, {"total": 3})])
        await lag(at, {})
        (on_bus,) = [from_structured(data) for data in await stored(at, "bus_shop_next")]
        (queued,) = [from_structured(data) for data in await stored(at, "queue_shop_jobs")]
        assert (on_bus.id, on_bus.data) == ("1", {"total": 3})
        assert (queued.id, queued.data) == ("1", {"total": 4})


async def test_a_target_that_another_replica_deleted_is_made_anew() -> None:
    one = definition(target={"queue": {"name": "jobs"}}, delivery=QUICK)
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await lag(at, {})
        await at.streams.delete("queue_shop_jobs")  # as other Streams than those of the target
        await put(at, one, [event(2)])

        async def empty() -> bool:
            return not await at.streams.inbox_lag()

        await until(empty, 30)
        (queued,) = [from_structured(data) for data in await stored(at, "queue_shop_jobs")]
        assert queued.id == "2"


async def test_a_queue_is_delivered_from_its_own_stream_through_the_filter() -> None:
    one = definition(
        source={"queue": {"name": "jobs"}}, filter={"pattern": {"data": {"n": [{"exists": True}]}}}
    )
    async with broker() as at, functions() as to:
        await at.streams.ensure_queue("shop", "jobs")
        subject = names.queue_subject("shop", "jobs")
        async with delivering(at, to, one):
            for each in (event(1), event(2, {"other": 1}), event(3)):
                await at.publisher.publish(subject, to_structured(each))
            await called(to, 2)

            async def empty() -> bool:
                return not await at.streams.held("queue_shop_jobs")

            await until(empty)
            assert sorted(to.ids) == ["1", "3"]


async def test_batches_are_as_large_as_they_may_be_and_wait_no_longer_than_their_window() -> None:
    one = definition(batch={"size": 10, "windowSeconds": 0.5})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(n) for n in range(25)])
        await called(to, 3)
        await lag(at, {})
        assert sorted(len(call.ids) for call in to.calls) == [5, 10, 10]
        assert sorted(to.ids, key=int) == [str(n) for n in range(25)]


async def test_events_of_one_key_have_one_effect() -> None:
    one = definition(dedupe={"key": "data.order"})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(n, {"order": n % 3}) for n in range(9)])
        await put(at, one, [event(99, {"other": 1}), event(100, {"other": 1})])
        await called(to, 5)
        await lag(at, {})
        orders = [call.events[0].data.get("order") for call in to.calls]  # type: ignore[union-attr]
        assert sorted(str(order) for order in orders) == ["0", "1", "2", "None", "None"]


async def test_the_wait_for_a_place_takes_nothing_from_the_time_of_a_claim(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "_MARGIN_SECONDS", 0.0)
    one = definition(
        ordering={"key": "data.key"},
        dedupe={"key": "data.effect"},
        delivery={"timeoutSeconds": 1, **QUICK},
    )
    *others, first, second = one_for_each_partition(one)[:10]

    async def behave(_: Call) -> int:
        await asyncio.sleep(0.3)
        return 200

    outside = Outside(capacity=Known(1))
    async with (
        broker() as at,
        functions(behave) as to,
        delivering(at, to, one, outside=outside),
    ):
        await put(at, one, [event(n, {"key": key, "effect": key}) for n, key in others])
        await called(to, 1)
        await put(at, one, [event(100, {"key": first[1], "effect": "same"})])
        await called(to, 5)
        await put(at, one, [event(101, {"key": second[1], "effect": "same"})])
        await lag(at, {})
    effects = Counter(orjson.loads(call.body)["effect"] for call in to.calls)
    assert effects["same"] == 1


def one_for_each_partition(of: Definition) -> list[tuple[int, str]]:
    """Numbered keys, no two of which are in one partition."""
    way = entrance(of.trigger)
    found = {
        way.message(event(n, {"key": str(n)}), b"").outgoing.subject: (n, str(n))
        for n in range(1000)
    }
    assert len(found) == names.PARTITIONS
    return list(found.values())


async def test_large_data_goes_on_to_a_bus() -> None:
    one = definition(target={"bus": {"name": "next"}}, delivery=QUICK)
    large = event(1, data={"text": "x" * (5 << 20)})
    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [large])
        await lag(at, {})
        (message,) = await stored(at, names.bus_stream("shop", "next"))
        objects = StreamObjects(at.connection)
        assert await redeem(from_structured(message), objects) == large


async def test_a_failed_event_may_be_tried_again_behind_dedupe() -> None:
    one = definition(dedupe={"key": "data.order"}, delivery=QUICK)
    answers = iter([500, 500])
    async with broker() as at, functions(lambda _: next(answers, 200)) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(n, {"order": 7}) for n in range(3)])
            await lag(at, {})
        assert len(to.calls) == 3
        assert len({call.headers["Idempotency-Key"] for call in to.calls}) == 1


async def test_a_suspended_trigger_keeps_its_events_and_delivers_them_when_resumed() -> None:
    paused, resumed = definition(suspend=True), definition()
    async with broker() as at, functions() as to, delivering(at, to, paused) as deliveries:
        await put(at, paused, [event(1)])
        assert deliveries.state(key()) is None
        assert await at.streams.inbox_lag() == {("shop", "orders"): 1}
        deliveries.heed(key(), resumed)
        await called(to, 1)
        await lag(at, {})
        deliveries.heed(key(), paused)

        async def gone() -> bool:
            return deliveries.state(key()) is None

        await until(gone)


async def test_a_change_of_a_trigger_takes_effect_and_what_is_in_flight_ends() -> None:
    before, after = definition(), definition(target={"function": {"name": "other"}})
    release = asyncio.Event()

    async def behave(call: Call) -> int:
        if call.function == "shop/handler":
            await release.wait()
        return 200

    async with broker() as at, functions(behave) as to, delivering(at, to, before) as deliveries:
        await put(at, before, [event(1)])
        await called(to, 1)
        deliveries.heed(key(), after)
        numbers = itertools.count(2)
        async with asyncio.timeout(10):
            while not to.to("shop/other"):  # what comes just then is taken under the old one
                await put(at, after, [event(next(numbers))])
                await asyncio.sleep(0.05)
        last = next(numbers)
        await put(at, after, [event(last)])
        release.set()
        await lag(at, {})
        assert to.to("shop/handler")[0].ids == ["1"]
        assert [str(last)] in [call.ids for call in to.to("shop/other")]
        assert Counter(to.ids) == {str(n): 1 for n in range(1, last + 1)}


async def test_events_wait_while_the_controller_knows_of_no_such_target() -> None:
    facts = {
        "exists": False,
        "timeoutSeconds": 0,
        "concurrencyTarget": 1,
        "concurrencyLimit": 0,
        "maxReplicas": 0,
    }
    absent, there = definition(facts=facts), definition(facts={**facts, "exists": True})
    async with broker() as at, functions() as to, delivering(at, to, absent) as deliveries:
        await put(at, absent, [event(1)])

        async def waiting() -> bool:
            state = deliveries.state(key())
            return state is not None and state.phase == "absent"

        await until(waiting)
        deliveries.heed(key(), there)
        await called(to, 1)
        await lag(at, {})


@dataclass
class Known:
    """A capacity that a test sets."""

    count: int

    def places(self, function: FunctionKey) -> int | None:
        return self.count


async def test_no_more_is_in_flight_than_there_are_places_and_one_wakes_from_zero() -> None:
    capacity = Known(0)
    one, other = definition("one"), definition("other")
    now = most = 0

    async def behave(_: Call) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        return 200

    outside = Outside(capacity=capacity)
    async with (
        broker() as at,
        functions(behave) as to,
        delivering(at, to, one, other, outside=outside),
    ):
        await put(at, one, [event(n) for n in range(5)])
        await called(to, 5)
        assert most == 1
        capacity.count = 4
        await put(at, one, [event(n) for n in range(10, 40)])
        await put(at, other, [event(n) for n in range(10, 40)])
        await called(to, 65)
        assert most == 4


@dataclass
class Kept:
    """Results that a test looks at."""

    answers: list[Answer]

    async def keep(self, trigger: object, event: object, answer: Answer) -> None:
        self.answers.append(answer)


async def test_the_end_of_an_asynchronous_call_is_told() -> None:
    one = definition(source={"http": {"path": "/x", "async": True}}, delivery={"maxAttempts": 1})
    kept = Kept([])
    answers = iter([web.json_response({"sum": 3}), web.Response(status=500, text="no")])
    async with broker() as at, functions(lambda _: next(answers)) as to:
        async with delivering(at, to, one, outside=Outside(results=kept)):
            await put(at, one, [event(1)])
            await called(to, 1)
            await lag(at, {})
            await put(at, one, [event(2)])
            await dead(at, 1)
            await lag(at, {})
        assert [(answer.status, answer.body) for answer in kept.answers] == [
            (200, b'{"sum": 3}'),
            (500, b"no"),
        ]
