"""The latest events of buses, as those who watch are told of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.events_role import Role, role
from tests.support.servers.function import functions
from tests.support.servers.nats import needs_nats
from torpor.triggers import latest
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection, connected
from torpor.triggers.broker.reading import Kept, read_from, remove
from torpor.triggers.latest import LATEST_PATH, MOST

pytestmark = needs_nats


async def told(at: Role) -> list[dict[str, Any]]:
    status, found = await at.ask("GET", LATEST_PATH)
    assert status == 200
    events: list[dict[str, Any]] = found["events"]
    return events


async def test_the_newest_come_first_once_and_not_all_of_a_flood() -> None:
    async with functions() as to, role(to) as at:
        assert await told(at) == []
        for number in range(MOST + 10):
            await at.publish(number)
        newest = [str(number) for number in range(MOST + 9, 9, -1)]
        assert [event["id"] for event in await told(at)] == newest
        assert [event["id"] for event in await told(at)] == newest
        await at.publish(100, path="buses/other", type="other.thing")
        await at.publish(101)
        found = await told(at)
        assert [(event["bus"], event["id"]) for event in found[:3]] == [
            ("shop/b", "101"),
            ("shop/other", "100"),
            ("shop/b", newest[0]),
        ]
        assert len(found) == MOST
        assert found[1]["type"] == "other.thing"


async def test_who_stops_waiting_loses_no_event_of_those_who_ask_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams: set[str] = set()
    stuck = asyncio.Event()

    async def slow_at_the_second(connection: Connection, stream: str, *more: Any) -> Kept | None:
        streams.add(stream)
        if len(streams) > 1:
            stuck.set()
            await asyncio.Event().wait()
        return await read_from(connection, stream, *more)

    async with functions() as to, role(to) as at:
        for number, bus in enumerate(("b", "other")):
            await at.publish(number, path=f"buses/{bus}")
        with monkeypatch.context() as patch:
            patch.setattr(latest, "read_from", slow_at_the_second)
            asking = asyncio.create_task(told(at), name="somebody in a hurry")
            async with asyncio.timeout(10):
                await stuck.wait()
            asking.cancel()
        async with asyncio.timeout(10):
            assert [event["id"] for event in await told(at)] == ["1", "0"]


async def test_of_many_buses_no_more_is_read_than_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    buses, each = 30, 5
    reads: list[str] = []

    async def counted(connection: Connection, stream: str, *more: Any) -> Kept | None:
        reads.append(stream)
        return await read_from(connection, stream, *more)

    monkeypatch.setattr(latest, "read_from", counted)
    async with functions() as to, role(to) as at:
        for number in range(each * buses):
            await at.publish(number, path=f"buses/b{number % buses}")
        found = await told(at)
        newest = [str(number) for number in reversed(range(each * buses))]
        assert [event["id"] for event in found] == newest[:MOST]
        assert len(reads) <= MOST + buses < each * buses
        reads.clear()
        await at.publish(1000, path="buses/b7")
        assert [event["id"] for event in await told(at)] == ["1000", *newest[: MOST - 1]]
        assert len(reads) == 1


async def test_what_was_deleted_from_a_bus_hides_nothing() -> None:
    async with functions() as to, role(to) as at:
        for number in range(6):
            await at.publish(number)
        async with connected(at.nats.settings) as connection:
            for seq in (2, 3, 6):
                await remove(connection, names.bus_stream("shop", "b"), seq)
        assert [event["id"] for event in await told(at)] == ["4", "3", "0"]


async def test_long_attributes_are_cut() -> None:
    async with functions() as to, role(to) as at:
        await at.publish(1, subject="s" * 5_000)
        [event] = await told(at)
        assert 500 < len(event["subject"]) < 2_000


async def test_an_event_says_its_trace_and_never_its_data() -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with functions() as to, role(to) as at:
        await at.publish(1, traceparent=trace, data={"card": "4111"})
        [event] = await told(at)
        assert event["traceparent"] == trace
        assert "4111" not in str(event)
