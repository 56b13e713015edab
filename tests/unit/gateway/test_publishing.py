"""The data plane is as it should be only when it was told everything."""

from __future__ import annotations

import asyncio

from tests.support.virtual_time import run as run_virtual
from torpor.gateway.publishing import Publisher


def test_a_gateway_that_does_not_know_all_functions_yet_has_not_told_them() -> None:
    async def main() -> None:
        known = False

        async def publish() -> bool:
            return known

        publisher = Publisher(publish)
        running = asyncio.create_task(publisher.run(), name="publisher")
        publisher.hurry()
        await asyncio.sleep(1)
        assert publisher.problem == "no routes yet"
        known = True
        publisher.hurry()
        await asyncio.sleep(1)
        assert publisher.problem is None
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtual(main())
