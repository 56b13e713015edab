"""Places in flight of one target."""

from __future__ import annotations

import asyncio

import pytest

from torpor.triggers.delivery import capacity
from torpor.triggers.delivery.capacity import Places


async def test_a_place_given_back_goes_to_one_that_still_waits() -> None:
    places = Places(lambda: 1)
    held: list[str] = []

    async def hold(name: str) -> None:
        async with places.one():
            held.append(name)

    async with places.one():
        gone = asyncio.create_task(hold("gone"))
        patient = asyncio.create_task(hold("patient"))
        await asyncio.sleep(0)
        gone.cancel()
    async with asyncio.timeout(0.5):
        await patient
    assert held == ["patient"]
    assert places.in_flight == 0


async def test_who_is_alone_waits_for_those_before_and_holds_off_those_after() -> None:
    places = Places(lambda: 4)
    order: list[str] = []

    async def hold(name: str) -> None:
        async with places.one():
            order.append(name)

    async def be_alone() -> None:
        async with places.alone() as place:
            order.append("alone")
            later = asyncio.create_task(hold("later"))
            await asyncio.sleep(0.01)
            assert not place.shared
        await later

    async with places.one():
        alone = asyncio.create_task(be_alone())
        await asyncio.sleep(0.01)
        order.append("before")
    async with asyncio.timeout(0.5):
        await alone
    assert order == ["before", "alone", "later"]


async def test_nobody_is_alone_for_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "_PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(capacity, "_ALONE_SECONDS", 0.05)
    places = Places(lambda: 4)
    async with places.one() as before, asyncio.timeout(0.5), places.alone() as alone:
        assert (before.shared, alone.shared) == (True, True)
        async with places.one() as after:
            assert after.shared


async def test_who_is_beside_one_that_goes_on_is_not_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "_PATIENCE_SECONDS", 0.01)
    places = Places(lambda: 4)
    async with asyncio.timeout(0.5), places.one() as poison, places.alone() as innocent:
        assert (poison.shared, innocent.shared) == (True, True)
    async with asyncio.timeout(0.5), places.alone() as place:
        assert not place.shared


async def test_who_waits_too_long_to_be_alone_goes_on_beside_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(capacity, "_TURN_SECONDS", 0.02)
    monkeypatch.setattr(capacity, "_ALONE_SECONDS", 0.05)
    places = Places(lambda: 4)
    async with asyncio.timeout(0.5), places.alone() as first, places.alone() as second:
        assert (first.shared, second.shared) == (True, True)
    async with asyncio.timeout(0.5), places.alone() as third:
        assert not third.shared
