"""A queue of keys that loses nothing and never lets two workers at the same key.

The semantics are those of client-go's workqueue: a key added twice is worked on once; a key
added while it is being worked on comes again afterwards; failures come back later and later.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from torpor.errors import TorporError
from torpor.platform.kubernetes.throttle import Backoff, Clock, Random, TokenBucket
from torpor.telemetry.metrics import QUEUE_DEPTH, QUEUE_RETRIES, QUEUE_SECONDS

K = TypeVar("K", bound=Hashable)

RETRY_BACKOFF = Backoff(first_seconds=0.1, most_seconds=60.0)

log = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """All methods but `get` and `run` return at once. For one event loop."""

    def __init__(
        self,
        *,
        backoff: Backoff = RETRY_BACKOFF,
        rate_per_second: float = 50.0,
        burst: int = 200,
        clock: Clock = time.monotonic,
        rand: Random = random.random,
    ) -> None:
        self._backoff = backoff
        self._bucket = TokenBucket(rate_per_second, burst, clock)
        self._clock = clock
        self._random = rand
        self._ready: deque[K] = deque()
        self._waiting_since: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._numbers = itertools.count()
        self._bell = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def oldest_seconds(self) -> float:
        """Return how long the key that waits longest has been waiting; 0 when none does."""
        if not self._ready:
            return 0.0
        return self._clock() - self._waiting_since[self._ready[0]]

    def add(self, key: K) -> None:
        """Have the key worked on as soon as a worker is free; a delayed add of it is then moot."""
        self._due.pop(key, None)
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting_since:
            self._waiting_since[key] = self._clock()
            self._ready.append(key)
            QUEUE_DEPTH.set(len(self._ready))
            self._bell.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Add the key once `seconds` have passed; the earliest of several such wishes holds."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        if key in self._waiting_since or self._due.get(key, due + 1) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._numbers), key))
        self._bell.set()

    def retry(self, key: K) -> None:
        """Add the key after a delay that grows with each failure in a row."""
        QUEUE_RETRIES.inc()
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add_after(key, self._backoff.delay(self._failures[key], self._random))

    def forget(self, key: K) -> None:
        """Count its failures from zero again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it; `done` must follow."""
        while True:
            self._promote()
            if self._ready:
                return self._take()
            self._bell.clear()
            await self._ring()

    def done(self, key: K) -> None:
        """End the work on a key that `get` returned; it comes again if it was added meanwhile."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    async def run(self, workers: int, work: Callable[[K], Awaitable[float | None]]) -> None:
        """Work the queue off with `workers` tasks until cancelled.

        `work` returns the seconds after which the key is to come again, or None. When it raises,
        the error is logged and the key retried: one object must not stop the others.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._serve(work), name=f"queue worker {number}")

    async def _serve(self, work: Callable[[K], Awaitable[float | None]]) -> None:
        while True:
            await self._bucket.take()
            key = await self.get()
            try:
                await self._work(key, work)
            finally:
                self.done(key)

    async def _work(self, key: K, work: Callable[[K], Awaitable[float | None]]) -> None:
        try:
            after = await work(key)
        except TorporError as error:
            fields = {"key": str(key), "error": str(error), "code": error.code}
            log.warning("reconcile failed and comes again", extra={"fields": fields})
            self.retry(key)
        except Exception:
            log.exception("reconcile broke and comes again", extra={"fields": {"key": str(key)}})
            self.retry(key)
        else:
            self.forget(key)
            if after is not None:
                self.add_after(key, after)

    def _take(self) -> K:
        key = self._ready.popleft()
        QUEUE_DEPTH.set(len(self._ready))
        QUEUE_SECONDS.observe(self._clock() - self._waiting_since.pop(key))
        self._working.add(key)
        return key

    def _promote(self) -> None:
        now = self._clock()
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) == due:
                self.add(key)

    async def _ring(self) -> None:
        wait = self._later[0][0] - self._clock() if self._later else None
        try:
            async with asyncio.timeout(wait):
                await self._bell.wait()
        except TimeoutError:
            return
