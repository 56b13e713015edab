"""How far the work is, for whoever asks: `GET /progress` on the run's port answers with it."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

WINDOW_SECONDS = 60.0
"""The speed is that of this last time."""
MOST_MESSAGE_CHARACTERS = 200


class Progress:
    """A count towards a total, and how fast it grows. Threads may share one.

    `total` is None where nobody knows it. `done` was done before, and is not part of the speed.
    """

    def __init__(
        self,
        total: float | None,
        unit: str = "frames",
        *,
        done: float = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._total = total
        self._unit = unit
        self._done = done
        self._message = ""
        self._seen: deque[tuple[float, float]] = deque([(clock(), done)])

    def advance(self, count: float = 1) -> None:
        """Count so much more as done; raises ValueError for what is no finite number."""
        with self._lock:
            self._done += _finite(count)
            self._note()

    def reach(self, done: float) -> None:
        """Set what is done, as a whole: less than before if work was lost."""
        with self._lock:
            self._done = _finite(done)
            self._note()

    def say(self, message: str) -> None:
        """Set a line for people: what is being done now."""
        with self._lock:
            self._message = message[:MOST_MESSAGE_CHARACTERS]

    def snapshot(self) -> dict[str, Any]:
        """Return done, total, unit, ratio, speed (units a second), leftSeconds and message.

        What is not known is None.
        """
        with self._lock:
            speed = self._speed()
            left = None if self._total is None else max(0.0, self._total - self._done)
            return {
                "done": self._done,
                "total": self._total,
                "unit": self._unit,
                "ratio": None if left is None else self._ratio(left),
                "speed": None if speed is None else round(speed, 3),
                "leftSeconds": round(left / speed, 1) if left is not None and speed else None,
                "message": self._message,
            }

    def _ratio(self, left: float) -> float:
        return round(1.0 - left / self._total, 4) if self._total else 1.0

    def _note(self) -> None:
        now = self._clock()
        if now - self._seen[-1][0] >= WINDOW_SECONDS / 60 or len(self._seen) == 1:
            self._seen.append((now, self._done))
        while len(self._seen) > 2 and now - self._seen[1][0] > WINDOW_SECONDS:
            self._seen.popleft()

    def _speed(self) -> float | None:
        first_at, first = self._seen[0]
        seconds = self._clock() - first_at
        return (self._done - first) / seconds if seconds > 0 and self._done > first else None


def _finite(count: float) -> float:
    if math.isfinite(count):
        return count
    raise ValueError(f"{count} is no count")
