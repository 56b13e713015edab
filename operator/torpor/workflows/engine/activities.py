"""Activities: tasks that workers outside poll for (GetActivityTask).

The ledger has the tasks of all engines and gives each to one worker. Of the workers that wait here
for one activity only the first asks it; the others come after it, one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from contextlib import contextmanager

from torpor.workflows.ledger.base import ActivityTask, Ledger

_LOOK_SECONDS = 15.0
"""How often the ledger is asked when it tells of nothing."""


class Activities:
    """The workers that wait for tasks, by activity ARN."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._turns: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    async def wait(
        self, activity_arn: str, worker: str | None, deadline: float
    ) -> ActivityTask | None:
        """The next task, which is this worker's now; None when none comes before `deadline`.

        `deadline` is in the event loop's time. Raises LedgerAway.
        """
        with self._turn(activity_arn) as turn:
            if not await _acquired(turn, deadline):
                return None
            try:
                return await self._next(activity_arn, worker, deadline)
            finally:
                turn.release()

    async def _next(self, arn: str, worker: str | None, deadline: float) -> ActivityTask | None:
        loop = asyncio.get_running_loop()
        with self._ledger.news(arn) as news:
            while True:
                news.clear()
                task = await self._ledger.take(arn, worker)
                if task is not None or loop.time() >= deadline:
                    return task
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(deadline, loop.time() + _LOOK_SECONDS)):
                        await news.wait()

    @contextmanager
    def _turn(self, arn: str) -> Iterator[asyncio.Lock]:
        self._waiting[arn] = self._waiting.get(arn, 0) + 1
        try:
            yield self._turns.setdefault(arn, asyncio.Lock())
        finally:
            self._waiting[arn] -= 1
            if not self._waiting[arn]:
                del self._waiting[arn], self._turns[arn]


async def _acquired(turn: asyncio.Lock, deadline: float) -> bool:
    try:
        async with asyncio.timeout_at(deadline):
            return await turn.acquire()
    except TimeoutError:
        return False
