"""Deaths in the middle of deliveries: of the dispatcher, of the broker; and handlers that last."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.integration.delivery_rig import (
    QUICK,
    Outside,
    called,
    definition,
    delivering,
    put,
    stored,
)
from tests.integration.trigger_rig import event
from tests.support.servers.dispatcher import dispatcher
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import Broker, broker, lag, lost, needs_nats, until
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.kv import Bucket
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import Retention, StreamSpec
from torpor.triggers.delivery import claiming
from torpor.triggers.delivery.dedupe import LIVE_SECONDS, State
from torpor.triggers.delivery.inboxes import consumers
from torpor.triggers.delivery.sweeping import Sweeping
from torpor.triggers.event import from_structured, to_structured
from torpor.triggers.standings import TargetFacts

pytestmark = needs_nats


async def test_a_dispatcher_killed_during_an_invocation_has_used_no_attempt_up() -> None:
    one = definition(delivery={"maxAttempts": 1})
    release = asyncio.Event()

    async def behave(_: Call) -> int:
        await release.wait()
        return 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(1)])
        async with dispatcher(at, to, one) as first:
            await called(to, 1)
            first.kill()
            await first.wait()
        release.set()
        async with dispatcher(at, to, one):
            await called(to, 2)
            await lag(at, {})
        assert to.ids == ["1", "1"]
        assert await stored(at, names.DEAD_STREAM) == []


async def test_a_dispatcher_killed_before_its_acknowledgement_has_one_effect_behind_dedupe() -> (
    None
):
    one = definition(dedupe={"key": "id"})
    async with broker() as at, functions() as to:
        await put(at, one, [event(n) for n in range(300)])
        async with dispatcher(at, to, one) as first:
            await called(to, 100)
            first.kill()
            await first.wait()
        # What it had begun may have had its effect or not: it waits for the time allowed.
        completed = await states(at, State.COMPLETED)
        begun = await states(at, State.IN_PROGRESS)
        async with dispatcher(at, to, one):
            await called(to, 300 - begun)
            await lag_at_most(at, begun)
        counts = Counter(to.ids)
        assert completed >= 50
        assert set(counts.values()) == {1}
        assert len(counts) >= 300 - begun


async def test_a_crashed_handler_does_not_block_its_key() -> None:
    one = definition(dedupe={"key": "id"}, delivery={"timeoutSeconds": 0.1, **QUICK})
    async with broker() as at, functions() as to:
        bucket = Bucket(at.connection, names.BUCKET_DEDUPE, LIVE_SECONDS)
        await put(at, one, [event(1)])
        async with delivering(at, to, one):
            await called(to, 1)
            await lag(at, {})
        (record,) = await bucket.entries()
        assert record.value is not None
        await bucket.put(record.key, b'{"state": "INPROGRESS", "until": 1}')
        await at.publisher.publish(
            names.inbox_subject("shop", "orders"), to_structured(event(1)), msg_id="again"
        )
        async with delivering(at, to, one):
            await called(to, 2)
            await lag(at, {})


async def test_what_a_killed_dispatcher_had_claimed_is_taken_over_once_its_target_is_done() -> None:
    facts = TargetFacts(True, timeout_seconds=1.0).to_json()
    one = definition(facts=facts, dedupe={"key": "id"})
    release = asyncio.Event()

    async def behave(_: Call) -> int:
        await release.wait()
        return 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(1)])
        async with dispatcher(at, to, one) as first:
            await called(to, 1)
            began = time.monotonic()
            first.kill()
            await first.wait()
        release.set()
        async with dispatcher(at, to, one):
            await called(to, 2, seconds=40)
            await lag(at, {})
        assert 10 < time.monotonic() - began < 25, "the claim's 16 s, and no time to wake"


async def test_a_claim_is_kept_while_its_function_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claiming, "_MARGIN_SECONDS", 0.4)
    monkeypatch.setattr(claiming, "_RENEW_SECONDS", 0.1)
    facts = TargetFacts(True, timeout_seconds=0.1).to_json()
    one = definition(facts=facts, dedupe={"key": "data.order"}, delivery=QUICK)

    async def behave(_: Call) -> int:
        await asyncio.sleep(2)
        return 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(n, {"order": 7}) for n in range(2)])
        async with delivering(at, to, one):
            await lag(at, {})
        assert len(to.calls) == 1


async def test_a_handler_longer_than_the_ack_wait_is_called_once() -> None:
    one = definition()

    async def behave(_: Call) -> int:
        await asyncio.sleep(4)  # four times the ack wait
        return 200

    async with broker() as at, functions(behave) as to:
        await put(at, one, [event(1)])
        async with dispatcher(at, to, one), dispatcher(at, to, one):
            await called(to, 1)
            await lag(at, {})
        assert to.ids == ["1"]
        assert await broker_deliveries(at) == 1


class Plenty:
    """Room for more than all, so that what the broker delivers again is taken at once."""

    def places(self, function: FunctionKey) -> int | None:
        return 200


async def test_a_broker_killed_in_the_middle_loses_nothing_and_calls_nobody_twice() -> None:
    one = definition()
    release = asyncio.Event()

    async def behave(_: Call) -> int:
        await release.wait()
        return 200

    outside = Outside(ack_wait_seconds=1.0, capacity=Plenty())
    async with broker(sync_interval="always") as at, functions(behave) as to:
        await put(at, one, [event(n) for n in range(40)])
        async with delivering(at, to, one, outside=outside):
            await called(to, 40)
            at.server.kill()
            await lost(at.connection)
            await asyncio.to_thread(at.server.start)
            await until(connected(at))
            await asyncio.sleep(2.5)  # longer than the ack wait: what was not kept would come again
            release.set()
            await lag(at, {})
        assert Counter(Counter(to.ids).values()) == {1: 40}


@pytest.mark.parametrize("spec", [{}, {"ordering": {"key": "id"}}])
async def test_deliveries_stopped_in_order_give_back_at_once_what_does_not_end(
    spec: dict[str, Any],
) -> None:
    one = definition(**spec)
    release = asyncio.Event()

    async def behave(call: Call) -> int:
        if call.ids != ["0"]:
            await release.wait()
        return 200

    async with broker() as at, functions(behave) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(n) for n in range(3)])
            await called(to, 3)
        assert await at.streams.inbox_lag() == {("shop", "orders"): 2}
        release.set()
        async with delivering(at, to, one):
            await called(to, 5, seconds=10)
            await lag(at, {})
        assert Counter(to.ids) == {"0": 1, "1": 2, "2": 2}


def connected(at: Broker) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return at.connection.ready

    return there


async def broker_deliveries(at: Broker) -> int:
    """How often the broker handed out a message of the Trigger, repeats included."""
    name = names.consumer_name("shop", "orders")
    found = await call(at.connection, f"CONSUMER.INFO.{names.INBOX_STREAM}.{name}")
    return int(found["delivered"]["consumer_seq"])


async def states(at: Broker, state: State) -> int:
    """How many records of dedupe are in a state."""
    entries = await Bucket(at.connection, names.BUCKET_DEDUPE, LIVE_SECONDS).entries()
    return sum(state.value.encode() in (entry.value or b"") for entry in entries)


async def lag_at_most(at: Broker, count: int) -> None:
    """Wait until no more than this is held."""

    async def few() -> bool:
        return sum((await at.streams.inbox_lag()).values()) <= count

    await until(few)


async def test_what_a_killed_broker_forgot_to_remove_is_swept_away_and_nothing_else() -> None:
    one = definition(source={"queue": {"name": "jobs"}})
    (spec,) = consumers(one.trigger, 30.0).values()
    subject = names.queue_subject("shop", "jobs")
    async with broker() as at:
        # A stream that keeps what is acknowledged stands for one that lost the removal.
        await at.streams.ensure(
            StreamSpec(spec.stream, (spec.filter_subject,), Retention.LIMITS, max_bytes=-1)
        )
        for number in range(6):
            await at.publisher.publish(subject, to_structured(event(number)))
        consumer = PullConsumer(at.connection, at.streams, spec)
        for message in await consumer.fetch(5, 5):
            if message.seq == 4:
                await message.nak(3600)
            else:
                await message.ack()
        sweeping = Sweeping(at.connection, at.streams, lambda: {one.trigger.key: one})

        async def acknowledged() -> bool:
            state = await at.streams.consumer_state(spec.stream, spec.name)
            return state is not None and state.acknowledged_seq == 3

        await until(acknowledged)
        assert [await sweeping.sweep() for _ in range(3)] == [0, 3, 0]
        left = [from_structured(data).id for data in await stored(at, spec.stream)]
        assert left == ["3", "4", "5"]
