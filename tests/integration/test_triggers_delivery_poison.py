"""An event that ends the instance which works on it, and those that were beside it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

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
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import broker, lag, needs_nats
from torpor.triggers.broker import names
from torpor.triggers.delivery import capacity

pytestmark = needs_nats

POISON = "13"


class Instance:
    """One instance of a function: what ends it breaks the connections of all that it works on."""

    def __init__(self, is_poison: Callable[[Call], bool], work_seconds: float = 0.1) -> None:
        self._is_poison = is_poison
        self._work_seconds = work_seconds
        self._life = asyncio.Event()
        self.broken: Counter[str] = Counter()

    async def __call__(self, call: Call) -> web.Response:
        life = self._life
        if self._is_poison(call):
            await asyncio.sleep(self._work_seconds / 2)
            self._life = asyncio.Event()
            life.set()
        try:
            async with asyncio.timeout(self._work_seconds):
                await life.wait()
        except TimeoutError:
            return web.Response(status=200)
        self.broken.update(call.ids)
        return web.json_response(
            {"code": "bad-gateway", "detail": "the function broke the connection"}, status=502
        )


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"batch": {"size": 4, "windowSeconds": 0.2}},
        {"ordering": {"key": "data.n"}},
        {"dedupe": {"key": "id"}},
    ],
)
async def test_what_ends_its_instance_uses_up_no_attempt_of_those_beside_it(
    spec: dict[str, Any],
) -> None:
    one = definition(delivery={"maxAttempts": 2, **QUICK}, **spec)
    instance = Instance(lambda call: POISON in call.ids)
    async with broker() as at, functions(instance) as to:
        await put(at, one, [event(n) for n in range(30)])
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert (letter["event"]["id"], letter["attempts"]) == (POISON, 2)
        assert set(to.ids) == {str(n) for n in range(30)}
        assert len(instance.broken) > 1, "others were beside it"
        assert len(await stored(at, names.DEAD_STREAM)) == 1


async def test_what_ends_its_instance_alone_has_only_its_attempts() -> None:
    one = definition(delivery={"maxAttempts": 3, **QUICK})
    async with broker() as at, functions(Instance(lambda _: True)) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(1)])
            (letter,) = await dead(at, 1)
            await lag(at, {})
        assert (letter["attempts"], len(to.calls)) == (3, 3)


async def test_those_beside_one_that_takes_long_do_not_wait_for_it_to_be_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "_PATIENCE_SECONDS", 0.05)
    one = definition(delivery={"maxAttempts": 2, **QUICK})
    release = asyncio.Event()
    instance = Instance(lambda call: POISON in call.ids)

    async def behave(call: Call) -> web.Response:
        if call.ids == ["0"]:
            await release.wait()
            return web.Response(status=200)
        return await instance(call)

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(20)])
        async with delivering(at, to, one):
            (letter,) = await dead(at, 1)
            assert letter["event"]["id"] == POISON
            await lag(at, {("shop", "orders"): 1})
            release.set()
            await lag(at, {})
        assert len(await stored(at, names.DEAD_STREAM)) == 1


class FourPlaces:
    """The capacity of a function with four places."""

    def places(self, _: object) -> int:
        return 4


@pytest.mark.parametrize("between", [503, 502, 504, 429])
async def test_what_may_end_instances_stays_alone_while_the_instance_is_away(between: int) -> None:
    """What is answered while it starts again says nothing of the event."""
    one = definition(delivery={"maxAttempts": 5, **QUICK})
    broke = {"code": "bad-gateway", "detail": "the function broke the connection"}
    answers = iter([web.json_response(broke, status=502), web.Response(status=between)])
    in_flight = 0
    beside: list[int] = []

    async def behave(call: Call) -> web.Response:
        nonlocal in_flight
        if call.ids == [POISON]:
            beside.append(in_flight)
            return next(answers, web.Response(status=200))
        in_flight += 1
        await asyncio.sleep(0.02)
        in_flight -= 1
        return web.Response(status=200)

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(int(POISON))])
        async with delivering(at, to, one, outside=Outside(capacity=FourPlaces())):
            more = itertools.count(200)
            while len(beside) < 3:
                await put(at, one, [event(next(more)) for _ in range(8)])
                await called(to, len(to.calls) + 4)
            await lag(at, {})
    assert beside[1:] == [0, 0]
