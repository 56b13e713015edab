"""How many deliveries may be in flight to one target at once, over all Triggers that share it.

A Function gets no more than its ready instances may have at once, and always one, so that an event
wakes it from zero. While that number is not known it is felt for: one more for each success, half
as many when the target is overrun (429, 503, no answer).

An event that may be what ends instances has all places for a while, so that it takes no other with
it. Other dispatchers, and who calls the Function itself, know nothing of that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from torpor.resources.names import FunctionKey
from torpor.triggers.delivery.attempts import Answer

MOST_PLACES = 256
"""In flight to one target from this process, whatever the target could take."""
_FIRST_PLACES = 16
_OVERRUN = frozenset({None, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_PATIENCE_SECONDS = 5.0
"""How long who is to be alone waits for those that came before."""
_TURN_SECONDS = 60.0
"""How long it waits for others that are to be alone, before that."""
_ALONE_SECONDS = 30.0
"""How long others wait for one that is alone, that patience included."""
_RELOOK_SECONDS = 1.0
"""How soon it is noticed that a target can take more, when nothing else happens."""


class Capacity(Protocol):
    """What is known of the instances of Functions."""

    def places(self, function: FunctionKey) -> int | None:
        """Return how many requests this process may have in flight to a Function.

        That is its ready instances times their concurrency limit, less what other dispatchers are
        to have; 0 when it is at zero, None when it is not known now, as of a Job Function, which
        has no instances. It must not block.
        """
        ...


class UnknownCapacity:
    """Where nobody can be asked."""

    def places(self, function: FunctionKey) -> int | None:
        """Return None."""
        return None


@dataclass(slots=True, eq=False)
class Place:
    """`shared`: others were in flight to the target meanwhile."""

    shared: bool


class Places:
    """The places in flight of one target; `known` says how many there are, or None."""

    def __init__(self, known: Callable[[], int | None]) -> None:
        self._known = known
        self._felt = float(_FIRST_PLACES)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._held: set[Place] = set()
        self._turn = asyncio.Lock()
        self._closed = False
        """For all but the one that is alone."""

    @property
    def in_flight(self) -> int:
        """How many are held."""
        return len(self._held)

    @property
    def limit(self) -> int:
        """How many there are now: at least one."""
        known = self._known()
        found = int(self._felt) if known is None else known
        return min(MOST_PLACES, max(1, found))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Place]:
        """Hold a place inside the block, after waiting for one."""
        while self._closed or self.in_flight >= self.limit:
            await self._wait()
        with self._taken(Place(shared=bool(self._held))) as place:
            yield place

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Place]:
        """Hold a place inside the block that no other is taken beside, for 30 s at the most.

        Those that began before are waited for, for a while: with what goes on then it shares.
        Where too many want to be alone, those that waited too long for that share.
        """
        if not await self._turn_came():
            async with self.one() as place:
                yield place
            return
        self._closed = True
        opening = asyncio.get_running_loop().call_later(_ALONE_SECONDS, self._open)
        try:
            await self._emptied()
            with self._taken(Place(shared=bool(self._held))) as place:
                yield place
        finally:
            opening.cancel()
            self._open()
            self._turn.release()

    def learn(self, answer: Answer) -> None:
        """Take note of what came of a delivery."""
        if answer.status in _OVERRUN:
            self._felt = max(1.0, self._felt / 2)
        elif self._felt < MOST_PLACES:
            self._felt += 1

    @contextmanager
    def _taken(self, place: Place) -> Iterator[Place]:
        for other in self._held:
            other.shared = True
        self._held.add(place)
        try:
            yield place
        finally:
            self._held.remove(place)
            self._wake()

    async def _turn_came(self) -> bool:
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                return await self._turn.acquire()
        except TimeoutError:
            return False

    async def _emptied(self) -> None:
        """Until no place is held, as long as patience lasts."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while self._held:
                    await self._wait()

    def _open(self) -> None:
        self._closed = False
        for _ in range(self.limit):
            self._wake()

    def _wake(self) -> None:
        """Tell the first that still waits: one whose time ran out just now is done already.

        While it is about being alone, all are told: the first cannot go on.
        """
        for _ in range(len(self._waiting)):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if not self._closed:
                    return

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
