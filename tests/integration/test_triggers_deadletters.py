"""Dead letters looked at, redriven and purged; a bus replayed; what counts as lag."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable

from tests.integration.delivery_rig import (
    QUICK,
    called,
    dead,
    definition,
    delivering,
    key,
    put,
    stored,
)
from tests.integration.trigger_rig import event, running
from tests.support.servers.function import Call, functions
from tests.support.servers.nats import Broker, broker, lag, needs_nats, until
from torpor.resources.trigger import Filter
from torpor.triggers.base import Undecodable
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.delivery.backlog import Backlog, Backlogs
from torpor.triggers.delivery.burial import bury_undecodable
from torpor.triggers.delivery.deadletters import DeadLetters, Selection
from torpor.triggers.delivery.replay import Replay, ReplayRequest
from torpor.triggers.event import to_structured

pytestmark = needs_nats
ONCE = {"maxAttempts": 1}


def letters(at: Broker) -> DeadLetters:
    return DeadLetters(at.connection, at.streams, at.publisher)


async def test_dead_letters_are_listed_by_trigger_error_and_time_a_page_at_a_time() -> None:
    orders, bills = definition("orders", delivery=ONCE), definition("bills", delivery=ONCE)

    def behave(call: Call) -> int:
        return 500 if int(call.ids[0]) % 2 else 422

    async with broker() as at, functions(behave) as to, delivering(at, to, orders, bills):
        await put(at, orders, [event(n) for n in range(6)])
        await put(at, bills, [event(9)])
        await dead(at, 7)
        book = letters(at)
        assert await book.counts() == {key("orders"): 6, key("bills"): 1}
        first = await book.list(Selection("shop", "orders"), limit=4)
        assert first.after is not None
        rest = await book.list(Selection("shop", "orders"), limit=4, after=first.after)
        assert rest.after is None
        ids = [letter.event["id"] for letter in first.letters + rest.letters if letter.event]
        assert sorted(ids) == ["0", "1", "2", "3", "4", "5"]
        refused = await book.list(Selection(error="STATUS 422"))
        assert {letter.status for letter in refused.letters} == {422}
        assert len(refused.letters) == 3
        assert (await book.list(Selection(until_seconds=time.time() - 60))).letters == ()
        assert await book.get(first.letters[0].seq) == first.letters[0]
        purged = await book.purge(Selection("shop", "orders", error="422"))
        assert len(purged.letters) == 3
        assert await book.counts() == {key("orders"): 3, key("bills"): 1}


async def test_a_redriven_event_has_all_its_attempts_again_and_leaves_the_dead_letters() -> None:
    one = definition(delivery={"maxAttempts": 2, **QUICK})
    well = asyncio.Event()
    async with broker() as at, functions(lambda _: 200 if well.is_set() else 500) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(1)])
            await dead(at, 1)
            await lag(at, {})
            book, known = letters(at), {key(): one}
            again = await book.redrive(Selection(), known, rate_per_second=1000)
            assert (again.moved, again.left) == (1, 0)
            await called(to, 4)
            (letter,) = await dead(at, 1)
            assert letter["attempts"] == 2
            await lag(at, {})
            well.set()
            await book.redrive(Selection(), known, rate_per_second=1000)
            await called(to, 5)
            await lag(at, {})
        assert await stored(at, names.DEAD_STREAM) == []


async def test_a_redrive_keeps_to_its_rate_and_leaves_what_has_no_trigger() -> None:
    one = definition(delivery=ONCE)
    async with broker() as at, functions(lambda _: 500) as to:
        async with delivering(at, to, one):
            await put(at, one, [event(n) for n in range(10)])
            await dead(at, 10)
            await lag(at, {})
        gone = bury_undecodable(
            definition("gone").trigger, Undecodable(b"\xff", "no JSON"), time.time()
        )
        raw = bury_undecodable(one.trigger, Undecodable(b"\xff", "no JSON"), time.time())
        for letter in (gone, raw):
            await at.publisher.publish(letter.subject, letter.data, msg_id=letter.msg_id)
        begun = time.monotonic()
        again = await letters(at).redrive(Selection(), {key(): one}, rate_per_second=20)
        assert (again.moved, again.left, again.after) == (10, 2, None)
        assert time.monotonic() - begun >= 0.45
        left = (await letters(at).list(Selection())).letters
        assert [letter.raw for letter in left] == [b"\xff", b"\xff"]
        assert [letter.error for letter in left] == ["no JSON", "no JSON"]


def replaying(at: Broker, clock: Callable[[], float] = time.monotonic) -> Replay:
    objects = StreamObjects(at.connection)
    return Replay(at.connection, at.streams, at.publisher, objects, clock)


async def test_a_replay_that_takes_long_answers_in_between_how_far_it_is() -> None:
    async with broker() as at:
        await at.streams.ensure_bus("shop", "main")
        await publish(at, range(10))
        ticks = itertools.count(0.0, 4.0)
        replay = replaying(at, lambda: next(ticks))
        one = {key("one"): definition("one", filter={"pattern": {"type": ["none"]}})}
        request = ReplayRequest(key("main"), "slow", rate_per_second=1000)
        part = await replay.run(request, one)
        assert (part.events, part.after) == (0, 3)
        assert (await replay.run(request, one, after=part.after)).after == 6


async def test_a_bus_is_replayed_to_one_trigger_from_a_time_through_filters() -> None:
    wanted = definition("wanted", filter={"pattern": {"data": {"n": [{"numeric": [">", 2]}]}}})
    other = definition("other")
    async with broker() as at:
        await at.streams.ensure_bus("shop", "main")
        await publish(at, range(5))
        await asyncio.sleep(0.05)
        middle = time.time()
        await publish(at, range(5, 10))
        replay = replaying(at)
        known = {key("wanted"): wanted, key("other"): other}
        request = ReplayRequest(
            key("main"),
            "first",
            rate_per_second=1000,
            since_seconds=middle,
            only=Filter(pattern={"data": {"n": [{"numeric": ["<", 8]}]}}),
            trigger="wanted",
        )
        done = await replay.run(request, known)
        assert (done.events, done.deliveries, done.after) == (3, 3, None)
        await replay.run(request, known)
        assert await at.streams.inbox_lag() == {("shop", "wanted"): 3}
        every = ReplayRequest(key("main"), "second", rate_per_second=1000)
        part = await replay.run(every, known, limit=4)
        assert (part.events, part.deliveries) == (4, 5)
        assert part.after is not None
        rest = await replay.run(every, known, after=part.after)
        assert (rest.events, rest.after) == (6, None)
        assert await at.streams.inbox_lag() == {("shop", "wanted"): 10, ("shop", "other"): 10}


async def test_a_replay_reaches_the_queue_that_the_trigger_feeds_once_more() -> None:
    feeding = definition("feeding", target={"queue": {"name": "jobs"}})
    stream = names.queue_stream("shop", "jobs")

    async with broker() as at, functions(lambda _: 500) as to, delivering(at, to, feeding):

        async def held(count: int) -> None:
            async def there() -> bool:
                state = await at.streams.state(stream)
                return state is not None and state.messages == count

            await until(there)

        await at.streams.ensure_bus("shop", "main")
        await publish(at, range(1))
        await put(at, feeding, [event(0)])
        await held(1)
        replay = replaying(at)
        request = ReplayRequest(key("main"), "first", rate_per_second=1000)
        await replay.run(request, {key("feeding"): feeding})
        await held(2)


async def test_what_waits_for_its_next_attempt_is_no_lag() -> None:
    slow = {"backoff": {"initialSeconds": 300, "maxSeconds": 300}}
    one, ordered = (
        definition("one", delivery=slow),
        definition("ordered", delivery=slow, ordering={"key": "data.key"}),
    )
    paused = definition("paused", suspend=True)
    known = {each.trigger.key: each for each in (one, ordered, paused)}
    async with (
        broker() as at,
        functions(lambda _: 500) as to,
        delivering(at, to, one, ordered) as deliveries,
    ):
        backlogs = Backlogs(at.connection, at.streams, deliveries, wall=time.time)
        await put(at, one, [event(n) for n in range(3)])
        await put(at, ordered, [event(n, {"key": "same"}) for n in range(4)])
        await put(at, paused, [event(1)])

        async def waiting() -> bool:
            return await backlogs.survey(known) == {
                key("one"): Backlog(0, 3),
                key("ordered"): Backlog(0, 4),
                key("paused"): Backlog(0, 1),
            }

        async with running(backlogs.run()):
            await until(waiting)
        assert len(to.calls) == 4


async def publish(at: Broker, numbers: range) -> None:
    subject = names.bus_subject("shop", "main")
    for number in numbers:
        await at.publisher.publish(subject, to_structured(event(number)), msg_id=str(number))
