"""Requests of one function that wait, in arrival order, each until its deadline.

Ten thousand may wait at once, so a request costs one future and one timer serves them all: the
waiting time is the same for every request of a function, so the head is always the next to expire.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from torpor.gateway.dataplane.base import Go, Refused

Verdict = Go | Refused


class HoldQueue:
    """First in, first out; `refusal` is asked for the verdict on those whose time is up.

    `emptied` is called when the last one left, for whatever reason.
    """

    __slots__ = ("_emptied", "_loop", "_refusal", "_timer", "_waiting", "_waits_seconds")

    def __init__(
        self, refusal: Callable[[], Refused], waits_seconds: float, emptied: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._refusal = refusal
        self._emptied = emptied
        self._waits_seconds = waits_seconds
        self._waiting: OrderedDict[asyncio.Future[Verdict], float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest(self) -> float | None:
        """The loop's time at which the first of those that wait arrived."""
        return next(iter(self._waiting.values()), None)

    async def wait(self) -> Verdict:
        """Wait at the end of the queue; leaving (cancellation) frees the place."""
        future: asyncio.Future[Verdict] = self._loop.create_future()
        self._waiting[future] = self._loop.time()
        if self._timer is None:
            self._arm()
        try:
            return await future
        finally:
            self._waiting.pop(future, None)
            if not self._waiting:
                self._emptied()

    def release(self, verdict: Verdict) -> None:
        """Give the first in the queue its verdict; the queue must not be empty."""
        while self._waiting:
            future, _ = self._waiting.popitem(last=False)
            if not future.done():
                future.set_result(verdict)
                return

    def refuse_all(self, refused: Refused) -> None:
        """Give all of them the same refusal."""
        while self._waiting:
            self.release(refused)

    def waits(self, seconds: float) -> None:
        """Change how long requests may wait, those that already do included."""
        if seconds != self._waits_seconds:
            self._waits_seconds = seconds
            self._arm()

    def close(self) -> None:
        """Stop the timer; nothing may wait any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.close()
        if self._waiting:
            due = next(iter(self._waiting.values())) + self._waits_seconds
            self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        latest = self._loop.time() - self._waits_seconds + _TICK_SECONDS
        refused = None
        while self._waiting and next(iter(self._waiting.values())) <= latest:
            refused = refused or self._refusal()
            self.release(refused)
        self._arm()


_TICK_SECONDS = 0.001
"""Deadlines this close together end in one go."""
