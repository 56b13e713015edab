"""Schedules in virtual time: zones, changes of clocks, what was missed, and who fired it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.source_rig import KeptPositions, content_of, trigger, world
from torpor.triggers.base import Received, SourceMisconfigured
from torpor.triggers.event import NO_DATA, Event
from torpor.triggers.sources.schedule import open_source
from torpor.triggers.sources.timetable import MOST_DUE, Cron, Every, due

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


@dataclass
class Clock:
    """Time that passes by sleeping, and by being set."""

    now: float = NOON
    until: float = NOON + DAY
    positions: KeptPositions = field(default_factory=KeptPositions)

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        if self.now > self.until:
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def fired(self, until: float, uid: str = "uid-1", **settings: Any) -> list[Event]:
        """What a schedule fires up to a time, each event acknowledged."""
        self.until = until
        around = world(positions=self.positions, wall=lambda: self.now, sleep=self.sleep)
        source = open_source(trigger({"schedule": settings}, uid=uid), around)
        found: list[Event] = []
        arriving = source.subscribe()

        async def read() -> None:
            async for received in arriving:
                found.append(await _taken(received))

        reading = asyncio.create_task(read(), name="reading")
        while self.now <= self.until:
            await asyncio.sleep(0)
            if reading.done():
                reading.result()
        reading.cancel()
        await asyncio.wait((reading,))
        self.now = self.until
        return found

    async def first(self, **settings: Any) -> Received:
        """What a schedule fires next, not acknowledged."""
        around = world(positions=self.positions, wall=lambda: self.now, sleep=self.sleep)
        arriving = open_source(trigger({"schedule": settings}), around).subscribe()
        return await anext(arriving)


async def _taken(received: Received) -> Event:
    await received.ack()
    return content_of(received)


def times(events: list[Event]) -> list[str]:
    return [str(event.time) for event in events]


async def test_an_event_says_when_it_was_meant_to_be() -> None:
    (event,) = await Clock().fired(NOON + 5 * 3600, cron="30 16 * * *", data={"a": 1})
    assert event.id == "uid-1-2026-03-01T16:30:00Z"
    assert (event.type, event.subject) == ("dev.torpor.schedule", "orders")
    assert event.source == "/namespaces/shop/triggers/orders"
    assert (event.time, event.data) == ("2026-03-01T16:30:00Z", {"a": 1})


async def test_a_period_is_the_same_for_all_processes() -> None:
    events = await Clock(now=NOON + 100).fired(NOON + 3000, every="15m")
    assert times(events) == [
        "2026-03-01T12:15:00Z",
        "2026-03-01T12:30:00Z",
        "2026-03-01T12:45:00Z",
    ]
    assert events[0].data is NO_DATA


async def test_two_schedulers_fire_the_same_events() -> None:
    one, other = Clock(), Clock(now=NOON + 0.5)
    ids = [
        [event.id for event in await clock.fired(NOON + 60, every="5s")] for clock in (one, other)
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 12


async def test_once_is_once_even_if_the_trigger_came_a_little_late() -> None:
    clock = Clock()
    assert times(await clock.fired(NOON + 60, at="2026-03-01T13:00:30+01:00")) == [
        "2026-03-01T12:00:30Z"
    ]
    assert await clock.fired(NOON + DAY, at="2026-03-01T12:00:30Z") == []
    late = Clock(now=NOON + 20)
    assert len(await late.fired(NOON + 60, at="2026-03-01T12:00:00Z")) == 1
    past = Clock(now=NOON + 120)
    assert await past.fired(NOON + DAY, at="2026-03-01T12:00:00Z") == []


async def test_what_was_not_acknowledged_is_fired_again() -> None:
    clock = Clock()
    first = await clock.first(every="1m")
    (again,) = await clock.fired(NOON + 62, every="1m")
    assert content_of(first).id == again.id
    assert await clock.fired(NOON + 119, every="1m") == []


async def test_the_next_time_is_not_due_before_the_last_was_acknowledged() -> None:
    clock = Clock()
    around = world(positions=clock.positions, wall=lambda: clock.now, sleep=clock.sleep)
    settings: dict[str, Any] = {"every": "1m", "catchUpSeconds": 600}
    await clock.fired(NOON + 61, **settings)
    clock.now += 600
    arriving = aiter(open_source(trigger({"schedule": settings}), around).subscribe())
    first = await anext(arriving)

    async def second() -> Received:
        return await anext(arriving)

    coming = asyncio.create_task(second(), name="second")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not coming.done()
    await first.ack()
    found = [content_of(first), content_of(await coming)]
    assert times(found) == ["2026-03-01T12:02:00Z", "2026-03-01T12:03:00Z"]


async def test_changed_times_begin_anew() -> None:
    clock = Clock()
    await clock.fired(NOON + 30, every="1h")
    await clock.fired(NOON + 30, at="2026-03-02T00:00:00Z")
    assert times(await clock.fired(NOON + 32, every="1s")) == [
        "2026-03-01T12:00:31Z",
        "2026-03-01T12:00:32Z",
    ]


@pytest.mark.parametrize(
    ("settings", "away_seconds", "made_up"),
    [
        ({"every": "1h"}, 10 * 3600 + 60, 0),
        ({"every": "1h", "catchUpSeconds": 3 * 3600}, 10 * 3600 + 60, 3),
        ({"every": "1h", "catchUpSeconds": 604_800}, 10 * 3600 + 60, 10),
        ({"every": "1s", "catchUpSeconds": 604_800}, 604_800, MOST_DUE),
        ({"every": "5s"}, 20.5, 4),  # a lease that changes hands takes so long
        ({"cron": "0 * * * *", "catchUpSeconds": 604_800}, 604_800, 168),
    ],
)
async def test_missed_times_are_made_up_for_within_bounds(
    settings: dict[str, Any], away_seconds: float, made_up: int
) -> None:
    clock = Clock(now=NOON + 1)
    await clock.fired(NOON + 2, **settings)
    clock.now += away_seconds
    events = await clock.fired(clock.now + 0.9, **settings)
    assert len(events) == made_up
    assert times(events) == sorted(times(events))


async def test_a_clock_that_jumps_fires_nothing_twice_and_does_not_stop_for_ever() -> None:
    clock = Clock()
    before = await clock.fired(NOON + 3600, every="10m")
    clock.now -= 1800
    after = await clock.fired(NOON + 3600 + 1200, every="10m")
    assert len({event.id for event in before + after}) == len(before) + len(after) == 8
    clock.now += 365 * DAY  # far in the future by mistake, for a while
    await clock.fired(clock.now + 1200, every="10m")
    clock.now = NOON + 2 * DAY
    assert len(await clock.fired(clock.now + 3599, every="10m")) == 5


BERLIN = ZoneInfo("Europe/Berlin")


def local(expression: str, start: datetime, count: int) -> list[str]:
    cron = Cron(expression, BERLIN)
    found = zip(cron.times(start.timestamp()), range(count), strict=False)
    return [f"{datetime.fromtimestamp(at, BERLIN):%d %H:%M%z}" for at, _ in found]


def test_in_spring_what_the_skipped_hour_would_have_had_comes_right_after_it() -> None:
    start = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    assert local("30 2 * * *", start, 2) == ["29 03:00+0200", "30 02:30+0200"]
    assert local("0 * * * *", datetime(2026, 3, 29, 0, 30, tzinfo=BERLIN), 3) == [
        "29 01:00+0100",
        "29 03:00+0200",
        "29 04:00+0200",
    ]


def test_in_autumn_what_the_repeated_hour_has_comes_once_but_every_hour_is_every_hour() -> None:
    start = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert local("30 2 * * *", start, 2) == ["25 02:30+0200", "26 02:30+0100"]
    assert local("0 * * * *", datetime(2026, 10, 25, 1, 30, tzinfo=BERLIN), 3) == [
        "25 02:00+0200",
        "25 02:00+0100",
        "25 03:00+0100",
    ]
    second = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert local("30 2 * * *", second, 1) == ["26 02:30+0100"]


def test_times_come_in_order_and_never_before_the_last() -> None:
    cron = Cron("15,45 1,2,3 * * *", BERLIN)
    start = datetime(2026, 10, 24, tzinfo=BERLIN).timestamp()
    for second in range(0, 3 * 86_400, 613):
        assert next(cron.times(start + second)) > start + second


def test_each_time_is_due_once_whatever_the_steps() -> None:
    every, last = Every(7), NOON
    fired: list[float] = []
    for step in (0.0, 3.0, 3.9, 0.1, 7.0, 20.9, 0.2, 6.9):
        now = last + step if not fired else fired[-1] + step
        found = due(every, last, now, 0)
        fired += found
        last = max([last, *found])
    assert fired == sorted(set(fired))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"cron": "@daily"}, "five fields"),
        ({"cron": "0 0 * * * *"}, "five fields"),
        ({"cron": "61 * * * *"}, "bad minute.*0 9"),
        ({"cron": "* * * * mon-xyz"}, "bad day-of-week"),
        ({"cron": "0 0 30 2 *"}, "day"),
        ({"cron": "* * * * *", "timeZone": "Mars/Base"}, "Europe/Berlin"),
        ({"cron": "* * * * *", "timeZone": "../etc/passwd"}, "no IANA time zone"),
        ({"cron": "* * * * *", "timeZone": "Europe"}, "no IANA time zone"),
        ({"cron": "* * * * *", "timeZone": "localtime"}, "no IANA time zone"),
        ({"cron": "* * * * *", "timeZone": "right/UTC"}, "no IANA time zone"),
        ({"cron": "0 0 L * *"}, "crontab"),
        ({"cron": "0 0 * * 1#2"}, "crontab"),
        ({"every": "0s"}, "from 1s on"),
        ({"every": ""}, "is required"),
        ({"every": "1m1h"}, "30s, 15m"),
        ({"at": "tomorrow"}, "RFC 3339"),
        ({"at": "2027-01-31T09:00:00"}, "RFC 3339"),
        ({"every": "1s", "catchUpSeconds": 604_801}, "catchUpSeconds"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_to_write(
    settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(SourceMisconfigured, match=says):
        open_source(trigger({"schedule": settings}), world())
