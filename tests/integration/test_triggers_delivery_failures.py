"""What becomes of events that their target does not take."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest
from aiohttp import web

from tests.integration.delivery_rig import (
    QUICK,
    called,
    dead,
    definition,
    delivering,
    put,
    stored,
)
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import Broker, broker, lag, needs_nats, until
from torpor.triggers.broker import names
from torpor.triggers.event import from_structured

pytestmark = needs_nats


async def test_what_fails_for_ever_is_given_up_after_exactly_its_attempts() -> None:
    one = definition(delivery={"maxAttempts": 4, **QUICK})
    async with broker() as at, functions(lambda _: 500) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        (letter,) = await dead(at, 1)
        await lag(at, {})
        assert len(to.calls) == 4
        assert letter["attempts"] == 4
        assert letter["status"] == 500
        assert letter["error"].startswith("status 500")
        assert letter["event"]["id"] == "1"
        assert letter["target"] == "function/handler"
        assert 0 < letter["firstSeconds"] < letter["lastSeconds"] <= letter["buriedSeconds"]
        assert letter["trace"].split("-")[1] == to.calls[0].headers["traceparent"].split("-")[1]


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_what_will_never_pass_is_given_up_at_once(status: int) -> None:
    one = definition(delivery=QUICK)
    async with broker() as at, functions(lambda _: status) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        (letter,) = await dead(at, 1)
        await lag(at, {})
        assert (len(to.calls), letter["attempts"], letter["status"]) == (1, 1, status)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 502, 503])
async def test_what_may_pass_is_tried_again(status: int) -> None:
    one = definition(delivery=QUICK)
    answers = iter([status, status])
    async with broker() as at, functions(lambda _: next(answers, 200)) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(1)])
            await called(to, 3)
            await lag(at, {})
        assert [call.headers["X-Request-Id"][-2:] for call in to.calls] == ["-1", "-2", "-3"]
        assert len({call.headers["traceparent"] for call in to.calls}) == 3
        assert len({call.headers["Idempotency-Key"] for call in to.calls}) == 1
        assert await stored(at, names.DEAD_STREAM) == []


async def test_only_the_statuses_that_retry_on_names_are_tried_again() -> None:
    one = definition(delivery={"retryOn": [418], **QUICK})
    answers = iter([418, 503])
    async with broker() as at, functions(lambda _: next(answers)) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        (letter,) = await dead(at, 1)
        assert (len(to.calls), letter["status"]) == (2, 503)


async def test_retry_after_is_honoured_up_to_the_longest_pause() -> None:
    one = definition(delivery={"backoff": {"initialSeconds": 0.01, "maxSeconds": 0.6}})
    came: list[float] = []
    busy = iter(["3600", "0"])

    def behave(_: Call) -> web.Response:
        came.append(time.monotonic())
        after = next(busy, None)
        return web.Response(
            status=200 if after is None else 429, headers={"Retry-After": after or ""}
        )

    async with broker() as at, functions(behave) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await called(to, 3)
        assert came[1] - came[0] >= 0.6
        assert came[2] - came[1] < 0.6


async def test_a_target_that_does_not_answer_is_left_in_time_and_tried_again() -> None:
    one = definition(delivery={"timeoutSeconds": 0.1, **QUICK})
    first = True

    async def behave(_: Call) -> int:
        nonlocal first
        slow, first = first, False
        await asyncio.sleep(5 if slow else 0)
        return 200

    async with broker() as at, functions(behave) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await called(to, 2)
        await lag(at, {})
        assert to.ids == ["1", "1"]


async def test_events_wait_for_a_function_that_does_not_exist() -> None:
    one = definition(delivery={"maxAttempts": 1})
    absent = web.json_response({"code": "unknown-function"}, status=404)
    async with broker() as at, functions(lambda _: absent) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await called(to, 1)
        await records(at, 1)
        await lag(at, {("shop", "orders"): 1})
        assert await stored(at, names.DEAD_STREAM) == []


async def test_dead_letters_are_sent_on_with_what_became_of_them() -> None:
    one = definition(
        delivery={"maxAttempts": 2, **QUICK},
        deadLetter={"enabled": False, "target": {"function": {"name": "undertaker"}}},
    )

    def behave(call: Call) -> int:
        return 500 if call.function == "shop/handler" else 200

    async with broker() as at, functions(behave) as to, delivering(at, to, one):
        await put(at, one, [event(1)])
        await lag(at, {("shop", "orders"): 1})
        await called(to, 3)
        await lag(at, {})
        (call,) = to.to("shop/undertaker")
        assert call.headers["ce-torportrigger"] == "shop/orders"
        assert call.headers["ce-torporattempts"] == "2"
        assert call.headers["ce-torporstatus"] == "500"
        assert await stored(at, names.DEAD_STREAM) == []


async def test_of_a_batch_only_what_the_target_names_is_tried_again() -> None:
    one = definition(batch={"size": 10, "windowSeconds": 0.3}, delivery=QUICK)
    failing = iter([["2", "5"]])

    def behave(_: Call) -> web.Response:
        failed = [{"itemIdentifier": name} for name in next(failing, [])]
        return web.json_response({"batchItemFailures": failed})

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(6)])
        async with delivering(at, to, one):
            await called(to, 2)
            await lag(at, {})
        assert to.calls[0].headers["Content-Type"] == "application/cloudevents-batch+json"
        assert to.calls[0].ids == ["0", "1", "2", "3", "4", "5"]
        assert sorted(to.ids[6:]) == ["2", "5"]


async def test_a_batch_whose_answer_names_something_else_failed_as_a_whole() -> None:
    one = definition(batch={"size": 3, "windowSeconds": 0.3}, delivery=QUICK)
    strange = iter([{"batchItemFailures": [{"itemIdentifier": "99"}]}])

    def behave(_: Call) -> web.Response:
        return web.json_response(next(strange, {"batchItemFailures": []}))

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(3)])
        async with delivering(at, to, one):
            await lag(at, {})
        assert Counter(to.ids) == {"0": 2, "1": 2, "2": 2}


async def test_one_bad_event_of_a_batch_dies_alone() -> None:
    one = definition(batch={"size": 5, "windowSeconds": 0.3}, delivery={"maxAttempts": 3, **QUICK})

    def behave(call: Call) -> int:
        return 500 if "3" in call.ids else 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(5)])
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert letter["event"]["id"] == "3"
        assert letter["attempts"] == 3


async def test_a_refused_batch_is_delivered_one_by_one() -> None:
    one = definition(batch={"size": 5, "windowSeconds": 0.3}, delivery=QUICK)

    def behave(call: Call) -> int:
        return 422 if "3" in call.ids else 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(5)])
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert letter["event"]["id"] == "3"
        assert [len(call.ids) for call in to.calls] == [5, 1, 1, 1, 1, 1]


async def test_a_key_that_fails_keeps_its_order_and_holds_up_no_other() -> None:
    one = definition(ordering={"key": "data.key"}, delivery={"maxAttempts": 3, **QUICK})
    held = asyncio.Event()

    def behave(call: Call) -> int:
        failing = call.ids == ["a1"] and not held.is_set()
        return 500 if failing else 200

    async with broker() as at, functions(behave) as to:
        keys = distinct("a", "b")
        events = [
            event(n, {"key": keys[name]}, **{"subject": f"{name}{n}"})
            for n in range(4)
            for name in "ab"
        ]
        named = [each.with_attributes({"id": str(each.subject)}) for each in events]
        await put(at, one, [each for each in named if each.id != "a0"])
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert letter["event"]["id"] == "a1"
        assert [name for name in to.ids if name[0] == "b"] == ["b0", "b1", "b2", "b3"]
        assert [name for name in to.ids if name[0] == "a"] == ["a1", "a1", "a1", "a2", "a3"]
        assert to.ids.index("b3") < to.ids.index("a2")


async def test_an_open_breaker_leaves_the_target_alone_then_tries_once() -> None:
    breaker = {"failureRate": 0.5, "windowSeconds": 60, "openSeconds": 1, "minimumDeliveries": 5}
    one = definition(delivery={"maxAttempts": 1000, "circuitBreaker": breaker, **QUICK})
    came: list[float] = []
    probes: list[int] = []
    """Which of those that came did so after a long silence."""

    def behave(_: Call) -> int:
        came.append(time.monotonic())
        if len(came) > 1 and came[-1] - came[-2] > 0.8:
            probes.append(len(came) - 1)
        return 200 if len(probes) >= 2 else 500

    async with broker() as at, functions(behave) as to, delivering(at, to, one):
        await put(at, one, [event(n) for n in range(20)])
        await lag(at, {})
        first, second = probes
        assert first >= 5
        assert second == first + 1, "the probe failed, and opened it anew"
        assert set(to.ids) == {str(n) for n in range(20)}


async def test_an_open_breaker_sends_events_to_the_fallback() -> None:
    breaker = {
        "openSeconds": 3600,
        "minimumDeliveries": 2,
        "fallback": {"queue": {"name": "later"}},
    }
    one = definition(delivery={"maxAttempts": 1000, "circuitBreaker": breaker, **QUICK})
    async with broker() as at, functions(lambda _: 500) as to, delivering(at, to, one):
        await put(at, one, [event(n) for n in range(50)])
        await lag(at, {})
        kept = await stored(at, names.queue_stream("shop", "later"))
        assert {from_structured(data).id for data in kept} == {str(n) for n in range(50)}


def distinct(*wanted: str) -> dict[str, str]:
    """A key for each name, no two of which share a partition."""
    found: dict[str, str] = {}
    taken: set[int] = set()
    for name in wanted:
        number = 0
        while (partition := names.partition_of(f'"{name}{number}"')) in taken:
            number += 1
        taken.add(partition)
        found[name] = f"{name}{number}"
    return found


async def records(at: Broker, count: int) -> None:
    """Wait until so many records of attempts are there."""

    async def there() -> bool:
        held = await at.streams.held(f"KV_{names.BUCKET_ATTEMPTS}")
        return len(held) >= count

    await until(there)
