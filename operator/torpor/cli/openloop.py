"""A load at a steady pace, measured from when each request was due, not from when it was sent.

An open loop: what is slow to be answered holds up nothing that is due later, and a request that had
to wait for its turn counts that wait. A closed loop would ask a slow server less often and call it
quick (coordinated omission).
"""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from torpor.cli.options import BadOption

MOST_REQUESTS = 5_000_000
MOST_OPEN = 10_000
MOST_COLD_STARTS = 1_000
"""So many cold starts are kept one by one; the others are only counted."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many requests, how fast, and how many of them may be open at once."""

    per_second: float
    seconds: float
    open_at_once: int

    def __post_init__(self) -> None:
        if not (self.per_second > 0 and self.seconds > 0 and math.isfinite(self.seconds)):
            raise BadOption("--rps and --seconds: give numbers above 0")
        if not 1 <= self.open_at_once <= MOST_OPEN:
            raise BadOption(f"--concurrency: give 1 to {MOST_OPEN}")
        if self.per_second * self.seconds > MOST_REQUESTS:
            raise BadOption(f"--rps times --seconds: at most {MOST_REQUESTS} requests")

    @property
    def requests(self) -> int:
        """How many there are in all, at least one."""
        return max(1, round(self.per_second * self.seconds))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request: a status and perhaps a cold start, or why there was no answer."""

    status: int | None
    cold_start_milliseconds: int | None = None
    problem: str = ""


@dataclass(slots=True)
class Measured:
    """All that was seen; `latencies_seconds` are from when each request was due to its end."""

    seconds: float = 0.0
    latencies_seconds: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    cold_starts: int = 0
    cold_starts_milliseconds: list[int] = field(default_factory=list)
    latest_start_seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many had no answer, or one of 400 or above."""
        refused = sum(count for status, count in self.statuses.items() if status >= 400)
        return refused + self.problems.total()

    def add(self, outcome: Outcome, late_seconds: float, latency_seconds: float) -> None:
        """Count one request."""
        self.latencies_seconds.append(latency_seconds)
        self.latest_start_seconds = max(self.latest_start_seconds, late_seconds)
        if outcome.status is None:
            self.problems[outcome.problem] += 1
        else:
            self.statuses[outcome.status] += 1
        if outcome.cold_start_milliseconds is not None:
            self.cold_starts += 1
            if len(self.cold_starts_milliseconds) < MOST_COLD_STARTS:
                self.cold_starts_milliseconds.append(outcome.cold_start_milliseconds)


async def drive(
    pace: Pace,
    send: Callable[[], Awaitable[Outcome]],
    measured: Measured,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Send all requests of the pace, and count each in `measured` when it has ended.

    What is cancelled has counted those that had ended by then.
    """
    places = asyncio.Semaphore(pace.open_at_once)
    start = clock()

    async def one(due: float) -> None:
        sent = clock()
        try:
            outcome = await send()
        finally:
            places.release()
        measured.add(outcome, sent - due, clock() - due)

    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(pace.requests):
                due = start + number / pace.per_second
                await asyncio.sleep(max(0.0, due - clock()))
                await places.acquire()
                tasks.create_task(one(due), name=f"request {number}")
    finally:
        measured.seconds = clock() - start
