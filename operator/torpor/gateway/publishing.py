"""Tells the data plane everything that concerns all functions at once, soon after it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from torpor.errors import DataPlaneError

SPACING_SECONDS = 0.1
"""Changes within this time are told together."""
PUBLISH_SECONDS = 10.0
"""How long the data plane may take to hear it all."""
_SHARE = 4.0
"""For each second of telling so many of rest, however many functions there are."""
_RETRY_SECONDS = 0.5


class Publisher:
    """Calls `publish` until it succeeds, each time that somebody said `hurry`.

    `publish` returns whether everything is told now: before all functions are known it tells none.
    """

    def __init__(self, publish: Callable[[], Awaitable[bool]]) -> None:
        self._publish = publish
        self._wanted = asyncio.Event()
        self.problem: str | None = "no routes yet"

    def hurry(self) -> None:
        """Publish again, soon."""
        self._wanted.set()

    async def run(self) -> None:
        """Publish when wanted, until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            began = clock()
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    told = await self._publish()
            except (DataPlaneError, TimeoutError) as error:
                self.problem = f"routes were not taken: {str(error) or 'no answer in time'}"
                self.hurry()
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if told:
                self.problem = None
            await asyncio.sleep(max(SPACING_SECONDS, (clock() - began) * _SHARE))
