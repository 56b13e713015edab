"""Places in flight of one target."""

from __future__ import annotations

import asyncio

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
