"""What deliveries leave in the store once their events are done, and for how long."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.integration.delivery_rig import QUICK, called, definition, delivering, put
from tests.integration.trigger_rig import event
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import Broker, broker, lag, needs_nats, until
from torpor.triggers.broker import names
from torpor.triggers.delivery import dedupe, expiring

pytestmark = needs_nats

ATTEMPTS, DEDUPE = f"KV_{names.BUCKET_ATTEMPTS}", f"KV_{names.BUCKET_DEDUPE}"


async def _left(at: Broker, stream: str) -> int:
    """How many messages there are, deletions' own included."""
    state = await at.streams.state(stream)
    return -1 if state is None else state.messages


async def test_what_dedupe_knows_leaves_the_store_after_its_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dedupe, "_CLAIM_SECONDS", 0.0)
    one = definition(
        dedupe={"key": "id", "windowSeconds": 1}, delivery={"timeoutSeconds": 1, **QUICK}
    )

    async def empty() -> bool:
        return await _left(at, DEDUPE) == 0

    async with broker() as at, functions() as to, delivering(at, to, one):
        await put(at, one, [event(n) for n in range(20)])
        await called(to, 20)
        await lag(at, {})
        assert await _left(at, DEDUPE) == 20
        await until(empty)


async def test_events_that_were_tried_again_leave_nothing_in_the_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(expiring, "DELETION_SECONDS", 1.0)
    one = definition(dedupe={"key": "id", "windowSeconds": 3600}, delivery=QUICK)
    calls: Counter[str] = Counter()

    def behave(call: Call) -> int:
        calls.update(call.ids)
        return 200 if calls[call.ids[0]] > 1 else 503

    async def empty() -> bool:
        return await _left(at, ATTEMPTS) == 0

    async with broker() as at, functions(behave) as to, delivering(at, to, one):
        await put(at, one, [event(n) for n in range(20)])
        await called(to, 40)
        await lag(at, {})
        await until(empty)
        assert await _left(at, DEDUPE) == 20
