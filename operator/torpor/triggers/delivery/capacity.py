"""How many deliveries may be in flight to one target at once, over all Triggers that share it.

A Function gets no more than its ready instances may have at once, and always one, so that an event
wakes it from zero. While that number is not known it is felt for: one more for each success, half
as many when the target is overrun (429, 503, no answer).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Protocol

from torpor.resources.names import FunctionKey
from torpor.triggers.delivery.attempts import Answer

MOST_PLACES = 256
"""In flight to one target from this process, whatever the target could take."""
_FIRST_PLACES = 16
_OVERRUN = frozenset({None, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_RELOOK_SECONDS = 1.0
"""How soon it is noticed that a target can take more, when nothing else happens."""


class Capacity(Protocol):
    """What is known of the instances of Functions."""

    def places(self, function: FunctionKey) -> int | None:
        """Return how many requests this process may have in flight to a Function.

        That is its ready instances times their concurrency limit, less what other dispatchers are
        to have; 0 when it is at zero, None when it is not known now. It must not block.
        """
        ...


class UnknownCapacity:
    """Where nobody can be asked."""

    def places(self, function: FunctionKey) -> int | None:
        """Return None."""
        return None


class Places:
    """The places in flight of one target; `known` says how many there are, or None."""

    def __init__(self, known: Callable[[], int | None]) -> None:
        self._known = known
        self._felt = float(_FIRST_PLACES)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.in_flight = 0

    @property
    def limit(self) -> int:
        """How many there are now: at least one."""
        known = self._known()
        found = int(self._felt) if known is None else known
        return min(MOST_PLACES, max(1, found))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a place inside the block, after waiting for one."""
        while self.in_flight >= self.limit:
            await self._wait()
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
            self._wake_one()

    def learn(self, answer: Answer) -> None:
        """Take note of what came of a delivery."""
        if answer.status in _OVERRUN:
            self._felt = max(1.0, self._felt / 2)
        elif self._felt < MOST_PLACES:
            self._felt += 1

    def _wake_one(self) -> None:
        """Tell the first that still waits: one whose time ran out just now is done already."""
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter.set_result(None)

    async def _wait(self) -> None:
        """Until a place is given back, or it may be that there are more."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(_RELOOK_SECONDS):
                await waiter
        except TimeoutError:
            return
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
