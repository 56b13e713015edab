"""What becomes of a function's replicas while something else happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cluster.harness import Lab


@asynccontextmanager
async def watched(lab: Lab, name: str) -> AsyncIterator[list[int]]:
    """Collect the replicas asked for, four times a second, while the block runs."""
    found: list[int] = []

    async def look() -> None:
        while True:
            found.append((await lab.seen(name)).replicas)
            await asyncio.sleep(0.25)

    async with asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look(), name="look")
        yield found
        looking.cancel()
