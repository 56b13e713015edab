"""Schedules through intakes into an inbox of a real nats-server."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace

from tests.integration.trigger_rig import inbox, intake_parts, running, trigger, world
from tests.support.servers.nats import Broker, broker, needs_nats, until
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.base import OpenSource, SourceWorld
from torpor.triggers.broker.leases import Leases
from torpor.triggers.event import from_structured
from torpor.triggers.inbox import entrance
from torpor.triggers.intake import Intake, Phase
from torpor.triggers.positions import StoredPositions
from torpor.triggers.sources.catalog import SOURCES
from torpor.triggers.sources.schedule import ScheduleSource, open_source

pytestmark = needs_nats


def intake(
    at: Broker, of: Trigger, identity: str, opened: OpenSource = SOURCES[SourceKind.SCHEDULE]
) -> Intake:
    around = replace(world(), positions=StoredPositions(at.connection))
    leases = Leases(at.connection, identity, clock=time.monotonic)
    return Intake(entrance(of), opened, around, replace(intake_parts(at), leases=leases))


async def matched(count: int, *intakes: Intake) -> None:
    """Wait until so many events went into the inbox."""

    async def enough() -> bool:
        return sum(each.state.matched for each in intakes) >= count

    await until(enough)


async def times(at: Broker) -> list[str]:
    """When what the inbox holds was meant to be."""
    return [str(from_structured(message.data).time) for message in await inbox(at)]


async def test_two_replicas_fire_each_time_once_and_a_third_makes_up_for_what_they_missed() -> None:
    every = trigger(source={"schedule": {"every": "1s", "catchUpSeconds": 60}})
    async with broker() as at:
        one, other = (intake(at, every, identity) for identity in ("a", "b"))
        async with running(one.run(), other.run()):
            await matched(3, one, other)
            assert {one.state.phase, other.state.phase} == {Phase.SUBSCRIBED, Phase.STANDBY}
        await asyncio.sleep(2)  # nobody is there
        third = intake(at, every, "c")
        async with running(third.run()):
            await matched(3, third)
        fired = await times(at)
        assert len(fired) >= 6
        seconds = [int(text[17:19]) for text in fired]
        assert {(later - earlier) % 60 for earlier, later in itertools.pairwise(seconds)} == {1}


async def test_two_who_both_believe_to_be_the_only_one_fire_each_time_once() -> None:
    every = trigger(source={"schedule": {"every": "1s"}})
    async with broker() as at:
        intakes = [intake(at, every, identity, opened=unleased) for identity in ("a", "b")]
        async with running(*(each.run() for each in intakes)):
            for each in intakes:
                await matched(3, each)
        fired = await times(at)
        assert sum(each.state.matched for each in intakes) > len(fired) >= 3
        assert len(fired) == len(set(fired))


def unleased(of: Trigger, around: SourceWorld) -> ScheduleSource:
    source = open_source(of, around)
    source.exclusive = False
    return source
