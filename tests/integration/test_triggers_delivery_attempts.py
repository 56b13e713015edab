"""What counts as an attempt at an event, and what an event has room for."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.integration.delivery_rig import (
    QUICK,
    Outside,
    called,
    dead,
    definition,
    delivering,
    put,
    stored,
)
from tests.integration.trigger_rig import event
from tests.support.real_gateway import free_port
from tests.support.servers.function import Call, Functions, functions
from tests.support.servers.nats import broker, lag, needs_nats, until
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import LARGE_BYTES
from torpor.triggers.broker.publishing import MessageTooLarge
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.delivery import attempts
from torpor.triggers.delivery.inboxes import consumers

pytestmark = needs_nats


async def test_deliveries_that_come_to_no_attempt_use_none_up() -> None:
    one = definition(delivery={"maxAttempts": 1})
    (spec,) = consumers(one.trigger, 30.0).values()
    async with broker() as at, functions() as to:
        await put(at, one, [event(1)])
        taker = PullConsumer(at.connection, at.streams, spec)
        for _ in range(40):
            (message,) = await taker.fetch(1, 5)
            await message.nak()
        await taker.close()
        async with delivering(at, to, one):
            await lag(at, {})
        assert to.ids == ["1"]
        assert await stored(at, names.DEAD_STREAM) == []


async def test_no_attempt_is_used_up_while_no_gateway_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = definition(delivery={"maxAttempts": 1, **QUICK})
    port = free_port()

    async def told() -> bool:
        return "the target cannot be reached: its events wait" in caplog.messages

    nobody = Functions(lambda _: 500, url=f"http://127.0.0.1:{port}")
    async with broker() as at, delivering(at, nobody, one):
        await put(at, one, [event(1)])
        await until(told)
        async with functions(lambda _: 202, port) as to:
            await lag(at, {})
        assert len(to.calls) == 1
        assert await stored(at, names.DEAD_STREAM) == []


async def test_an_event_that_ends_whoever_delivers_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "MOST_BEGUN", 2)
    one = definition(delivery={"maxAttempts": 1})
    never = asyncio.Event()

    async def behave(_: Call) -> int:
        await never.wait()
        return 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(1)])
        for count in (1, 2, 3):
            async with delivering(at, to, one):
                await called(to, count)
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert letter["error"] == "2 attempts began, and none came to an end"
        assert (letter["attempts"], len(to.calls)) == (0, 3)


async def test_failed_attempts_count_though_the_ordering_was_switched() -> None:
    slow = {"backoff": {"initialSeconds": 2, "maxSeconds": 2, "jitter": 0}}
    one = definition(delivery={"maxAttempts": 3, **slow})
    ordered = definition(ordering={"key": "data.n"}, delivery={"maxAttempts": 3, **QUICK})

    async with broker() as at, functions(lambda _: 500) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(1)])
            await called(to, 2)
        async with delivering(at, to, ordered):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert (len(to.calls), letter["attempts"]) == (3, 3)


async def test_the_largest_event_that_is_accepted_has_room_as_a_dead_letter() -> None:
    one = definition(delivery=QUICK)
    async with broker() as at, functions(lambda _: 400) as to, delivering(at, to, one):
        await put(at, one, [event(1).with_attributes({"large": "x" * (LARGE_BYTES - 500)})])
        (letter,) = await dead(at, 1)
        await lag(at, {})
        assert letter["event"]["id"] == "1"
        with pytest.raises(MessageTooLarge, match="of attributes"):
            await put(at, one, [event(2).with_attributes({"large": "x" * LARGE_BYTES})])


async def test_a_short_pause_inside_a_batch_is_no_longer_than_it_says() -> None:
    one = definition(
        batch={"size": 2, "windowSeconds": 1},
        delivery={"backoff": {"initialSeconds": 1, "maxSeconds": 1, "jitter": 0}},
    )
    answers, release = iter([503]), asyncio.Event()

    async def behave(call: Call) -> int:
        if call.ids == ["1"]:
            await release.wait()
        return 422 if len(call.ids) == 2 else next(answers, 200)

    outside = Outside(ack_wait_seconds=2.0)
    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(2)])
        async with delivering(at, to, one, outside=outside):
            await called(to, 4, seconds=8)
            assert Counter(to.ids) == {"0": 3, "1": 2}
            release.set()
            await lag(at, {})
        assert Counter(to.ids) == {"0": 3, "1": 2}
