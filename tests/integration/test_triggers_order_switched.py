"""Order by key switched on or off while events are in flight."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tests.integration.delivery_rig import called, definition, delivering, key, put
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import broker, lag, needs_nats
from torpor.triggers.broker import rivals
from torpor.triggers.broker.names import partition_of
from torpor.triggers.delivery import switching

pytestmark = needs_nats

ORDERING = {"ordering": {"key": "data.n"}}


@pytest.mark.parametrize(("before", "after"), [({}, ORDERING), (ORDERING, {})])
async def test_what_is_in_flight_ends_before_the_ordering_is_switched(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    one, other = definition(**before), definition(**after)
    release = asyncio.Event()

    async def behave(_: Call) -> int:
        await release.wait()
        return 200

    async with broker() as at, functions(behave) as to, delivering(at, to, one) as deliveries:
        await put(at, one, [event(n) for n in range(8)])
        in_flight = len({partition_of(str(n)) for n in range(8)}) if before else 8
        await called(to, in_flight)
        deliveries.heed(key(), other)
        await put(at, other, [event(n) for n in range(8, 16)])
        await asyncio.sleep(1)  # time enough to take what is in flight once more
        assert len(to.calls) == in_flight
        release.set()
        await lag(at, {})
        assert Counter(to.ids) == {str(n): 1 for n in range(16)}


async def test_what_only_waits_for_its_next_attempt_holds_up_no_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rivals, "QUIET_SECONDS", 0.5)
    slow: dict[str, Any] = {"backoff": {"initialSeconds": 3600, "maxSeconds": 3600, "jitter": 0}}
    one, other = definition(delivery=slow), definition(delivery=slow, ordering=ORDERING["ordering"])
    answers = iter([503])
    async with broker() as at, functions(lambda _: next(answers, 200)) as to:
        async with delivering(at, to, one) as deliveries:
            await put(at, one, [event(1)])
            await called(to, 1)
            deliveries.heed(key(), other)
            await put(at, other, [event(2)])
            await lag(at, {})
        assert Counter(to.ids) == {"1": 2, "2": 1}


@pytest.mark.parametrize(("before", "after"), [({}, ORDERING), (ORDERING, {})])
async def test_what_another_replica_has_in_flight_ends_before_the_ordering_is_switched(
    before: dict[str, Any], after: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "QUIET_SECONDS", 0.2)
    monkeypatch.setattr(switching, "HEARD_SECONDS", 0.5)
    one, other = definition(**before), definition(**after)
    ended: list[str] = []
    ended_before: dict[str, set[str]] = {}

    async def behave(call: Call) -> int:
        (identity,) = call.ids
        ended_before[identity] = set(ended)
        await asyncio.sleep(2 if identity in first else 0)
        ended.append(identity)
        return 200

    first = {"0", "1"}
    async with (
        broker() as at,
        functions(behave) as to,
        delivering(at, to, one) as a,
        delivering(at, to, one) as b,
    ):
        await put(at, one, [event(n) for n in range(2)])
        await called(to, 2)
        for deliveries in (a, b):
            deliveries.heed(key(), other)
        await put(at, other, [event(n) for n in range(2, 8)])
        await lag(at, {})
    assert Counter(to.ids) == {str(n): 1 for n in range(8)}
    assert all(ended_before[str(n)] >= first for n in range(2, 8))
