"""A source's events into the inbox, against a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
import pytest

from tests.integration.trigger_rig import (
    Made,
    bury,
    event,
    inbox,
    intake_parts,
    numbered,
    running,
    trigger,
    world,
)
from tests.support.servers.nats import Broker, broker, lost, needs_nats, until
from torpor.resources.trigger import Trigger
from torpor.triggers.base import SourceAway, SourceMisconfigured, SourceWorld, Undecodable
from torpor.triggers.broker import names, objects
from torpor.triggers.broker.objects import MAX_OBJECT_BYTES, StreamObjects
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.broker.pulling import PullConsumer
from torpor.triggers.broker.streams import ConsumerSpec
from torpor.triggers.claims import redeem
from torpor.triggers.delivery.burial import bury_undecodable
from torpor.triggers.event import Event, from_structured
from torpor.triggers.inbox import entrance
from torpor.triggers.intake import Intake, Phase

pytestmark = needs_nats


def intake(
    at: Broker,
    of: Trigger,
    contents: list[Event | Undecodable],
    buries: Callable[[Trigger, Undecodable, float], Outgoing] | None = None,
) -> tuple[Intake, list[Made]]:
    """An intake of a source that yields `contents`; each time it is opened is in the list."""
    opened: list[Made] = []

    def open_source(_: Trigger, its_world: SourceWorld) -> Made:
        made = Made(contents, its_world)
        if opened:
            made.acked = list(opened[-1].acked)
        opened.append(made)
        return made

    parts = intake_parts(at)
    if buries is not None:
        parts = replace(parts, bury=lambda of, what: buries(of, what, 0.0))
    return Intake(entrance(of), open_source, world(), parts), opened


def acked(opened: list[Made], count: int) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        return bool(opened) and len(opened[-1].acked) == count

    return done


async def test_what_passes_the_filter_is_stored_and_all_is_acknowledged_in_order() -> None:
    events: list[Event | Undecodable] = [event(n) for n in range(1000)]
    of = trigger(filter={"pattern": {"data": {"n": [{"numeric": ["<", 10]}]}}})
    async with broker() as at:
        runs, opened = intake(at, of, events)
        async with running(runs.run()):
            await until(acked(opened, 1000))
        found = [numbered(message)["n"] for message in await inbox(at)]
        assert found == list(range(10))
        assert opened[0].acked == list(range(1000))
        assert (runs.state.phase, runs.state.received, runs.state.matched) == (
            Phase.SUBSCRIBED,
            1000,
            10,
        )


async def test_a_cesql_filter_is_over_attributes() -> None:
    of = trigger(filter={"cesql": "type = 'wanted'"})
    events: list[Event | Undecodable] = [event(1), event(2, type="wanted")]
    async with broker() as at:
        runs, opened = intake(at, of, events)
        async with running(runs.run()):
            await until(acked(opened, 2))
        assert [from_structured(message.data).id for message in await inbox(at)] == ["2"]


async def test_events_of_one_key_are_in_one_partition_and_in_order() -> None:
    events: list[Event | Undecodable] = [event(n, data={"n": n, "k": n % 7}) for n in range(300)]
    async with broker() as at:
        runs, opened = intake(at, trigger(ordering={"key": "data.k"}), events)
        async with running(runs.run()):
            await until(acked(opened, 300))
        by_key: dict[int, list[tuple[str, int]]] = {}
        for message in sorted(await inbox(at), key=lambda each: each.seq):
            data = numbered(message)
            by_key.setdefault(data["k"], []).append((message.subject, data["n"]))
        for key, found in by_key.items():
            assert [number for _, number in found] == list(range(key, 300, 7))
            assert len({subject for subject, _ in found}) == 1
        assert len({subject for found in by_key.values() for subject, _ in found}) > 1


async def test_what_is_no_event_is_a_dead_letter_with_its_bytes_and_does_not_block() -> None:
    contents: list[Event | Undecodable] = [event(1), Undecodable(b"\xff\x00", "not JSON"), event(2)]
    async with broker() as at:
        runs, opened = intake(at, trigger(), contents)
        async with running(runs.run()):
            await until(acked(opened, 3))
        spec = ConsumerSpec(names.DEAD_STREAM, "test", names.dead_subject("shop", "orders"))
        (dead,) = await PullConsumer(at.connection, at.streams, spec).fetch(5, 5)
        assert (dead.data, dead.headers["reason"]) == (b"\xff\x00", "not JSON")
        assert len(await inbox(at)) == 2
        assert bury(trigger(), Undecodable(b"", "")).subject == dead.subject


async def test_an_event_larger_than_the_broker_takes_is_a_dead_letter_and_does_not_block() -> None:
    large = event(1).with_attributes({"large": "x" * (5 << 20)})
    async with broker() as at:
        runs, opened = intake(at, trigger(), [event(0), large, event(2)], bury_undecodable)
        async with running(runs.run()):
            await until(acked(opened, 3))
        spec = ConsumerSpec(names.DEAD_STREAM, "test", names.dead_subject("shop", "orders"))
        (dead,) = await PullConsumer(at.connection, at.streams, spec).fetch(5, 5)
        letter = orjson.loads(dead.data)
        assert letter["attributes"]["id"] == "1"
        assert "of attributes" in letter["error"]
        assert len(dead.data) < 2_000
        assert len(await inbox(at)) == 2


async def test_data_larger_than_an_event_may_have_is_kept_beside_its_dead_letter() -> None:
    data = bytes(range(256)) * ((MAX_OBJECT_BYTES >> 8) + 1)
    large = event(1, data=data, datacontenttype="application/octet-stream")
    async with broker() as at:
        runs, opened = intake(at, trigger(), [event(0), large, event(2)], bury_undecodable)
        async with running(runs.run()):
            await until(acked(opened, 3), 60)
        spec = ConsumerSpec(names.DEAD_STREAM, "test", names.dead_subject("shop", "orders"))
        (dead,) = await PullConsumer(at.connection, at.streams, spec).fetch(5, 5)
        attributes = orjson.loads(dead.data)["attributes"]
        assert (attributes["id"], attributes["source"]) == ("1", "/test")
        pieces = StreamObjects(at.connection).pieces(attributes["dataref"])
        assert b"".join([piece async for piece in pieces]) == data
        assert len(await inbox(at)) == 2


async def test_what_is_too_large_to_be_kept_at_all_stays_at_its_source_and_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "MAX_RAW_BYTES", 1 << 20)
    contents: list[Event | Undecodable] = [Undecodable(bytes(2 << 20), "no event"), event(1)]
    async with broker() as at:
        runs, opened = intake(at, trigger(), contents, bury_undecodable)
        async with running(runs.run()):

            async def told() -> bool:
                return (runs.state.phase, runs.state.reason) == (Phase.PROBLEM, "object-too-large")

            await until(told)
        assert not any(made.acked for made in opened)
        assert str(2 << 20) in runs.state.problem


async def test_large_data_goes_beside_and_comes_back() -> None:
    large = {"text": "x" * 600_000}
    async with broker() as at:
        runs, opened = intake(at, trigger(), [event(1, data=large), event(2, data="small")])
        async with running(runs.run()):
            await until(acked(opened, 2))
        first, second = await inbox(at)
        assert len(first.data) < 1000
        held = from_structured(first.data)
        assert "dataref" in held.attributes
        parts = intake_parts(at)
        assert await redeem(held, parts.objects) == event(1, data=large)
        assert await redeem(from_structured(second.data), parts.objects) == event(2, data="small")


async def test_nothing_is_acknowledged_while_the_broker_is_away_and_all_is_stored_after() -> None:
    events: list[Event | Undecodable] = [event(n) for n in range(600)]
    async with broker(sync_interval="always") as at:
        runs, opened = intake(at, trigger(), events)
        async with running(runs.run()):
            await until(acked_at_least(opened, 1))
            at.server.kill()
            await lost(at.connection)
            before = len(opened[-1].acked)
            await asyncio.sleep(0.3)
            assert len(opened[-1].acked) == before < 600
            await asyncio.to_thread(at.server.start)
            await until(acked(opened, 600), 30)
        found = {from_structured(message.data).id for message in await inbox(at)}
        assert found == {str(n) for n in range(600)}


async def test_a_source_that_fails_is_opened_again_and_its_problem_told() -> None:
    tries: list[SourceWorld] = []

    def open_source(of: Trigger, its_world: SourceWorld) -> Made:
        tries.append(its_world)
        if len(tries) == 1:
            raise SourceMisconfigured("the Secret has no password")
        if len(tries) == 2:
            raise SourceAway("connection refused")
        return Made([], its_world)

    async with broker() as at:
        runs = Intake(entrance(trigger()), open_source, world(), intake_parts(at))
        async with running(runs.run()):
            await until(phase(runs, "the Secret has no password", Phase.PROBLEM))
            assert runs.state.reason == "source-misconfigured"
            await until(phase(runs, "connection refused", Phase.PROBLEM))
            await until(phase(runs, "", Phase.SUBSCRIBED))


async def test_an_exclusive_source_is_read_by_one_of_two() -> None:
    def open_source(_: Trigger, its_world: SourceWorld) -> Made:
        return Made([], its_world, exclusive=True)

    async with broker() as at:
        first, second = (
            Intake(entrance(trigger()), open_source, world(), intake_parts(at)) for _ in range(2)
        )
        async with running(first.run()):
            await until(phase(first, "", Phase.SUBSCRIBED))
            async with running(second.run()):
                await until(phase(second, "", Phase.STANDBY))
                assert first.state.phase is Phase.SUBSCRIBED


def acked_at_least(opened: list[Made], count: int) -> Callable[[], Awaitable[bool]]:
    async def done() -> bool:
        return bool(opened) and len(opened[-1].acked) >= count

    return done


def phase(runs: Intake, problem: str, expected: Phase) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return (runs.state.problem, runs.state.phase) == (problem, expected)

    return reached
