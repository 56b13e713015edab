"""Reads the data plane's loads at a steady pace, once for all who want to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from torpor.errors import DataPlaneError
from torpor.gateway.dataplane.base import DataPlane, LaneLoad
from torpor.resources.names import FunctionKey

SAMPLE_SECONDS = 0.2
"""Between two readings while any function is awake."""
PACED_SECONDS = 0.05
"""Between two readings while requests are let through as room shows, or a function drains."""
READ_SECONDS = 2.0
"""How long one reading may take."""
_SPACING_SECONDS = 0.02
_SHARE = 4.0
"""For each second of reading so many of rest, however many lanes there are."""

Loads = Mapping[FunctionKey, LaneLoad]


class Sampler:
    """Calls `taken(loads, asked_at, seconds)` for each reading, `seconds` after the last one.

    `pace` returns the seconds until the next one, None for none until somebody asks. `problem`
    says what kept the last reading from coming about.
    """

    def __init__(
        self,
        plane: DataPlane,
        taken: Callable[[Loads, float, float], None],
        pace: Callable[[], float | None],
    ) -> None:
        self._plane = plane
        self._taken = taken
        self._pace = pace
        self._hurry = asyncio.Event()
        self._waiting: list[asyncio.Future[Loads]] = []
        self.problem: str | None = None

    def hurry(self) -> None:
        """Read soon; also ends the rest of a sampler that had nothing to watch."""
        self._hurry.set()

    async def next(self) -> Loads:
        """Return a reading that began after this call; DataPlaneError if it failed.

        The caller bounds the wait.
        """
        future: asyncio.Future[Loads] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self.hurry()
        return await future

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        last, took = loop.time(), 0.0
        while True:
            await self._rest(max(_SPACING_SECONDS, took * _SHARE))
            waiting, self._waiting = self._waiting, []
            asked_at = loop.time()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    loads = await self._plane.loads()
            except (DataPlaneError, TimeoutError) as error:
                self._failed(waiting, error)
                continue
            self.problem, took = None, loop.time() - asked_at
            self._taken(loads, asked_at, asked_at - last)
            last = asked_at
            for future in waiting:
                if not future.done():
                    future.set_result(loads)

    async def _rest(self, at_least_seconds: float) -> None:
        await asyncio.sleep(at_least_seconds)
        pace_seconds = self._pace()
        if pace_seconds is None and self.problem is not None:
            pace_seconds = SAMPLE_SECONDS
        try:
            async with asyncio.timeout(pace_seconds):
                await self._hurry.wait()
        except TimeoutError:
            return
        finally:
            self._hurry.clear()

    def _failed(self, waiting: list[asyncio.Future[Loads]], error: Exception) -> None:
        self.problem = f"reading the data plane's load failed: {str(error) or 'no answer'}"
        for future in waiting:
            if not future.done():
                future.set_exception(DataPlaneError(self.problem))
