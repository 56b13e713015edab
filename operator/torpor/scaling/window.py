"""The mean of a signal over the last seconds, at a cost that does not grow with the window.

Time is cut into buckets of one second; a ring holds the signal's integral over each, and a running
sum belongs to each of the two windows. Integrals are whole millionths, so that sums stay exact
however long a function is awake.
"""

from __future__ import annotations

import math
from collections import deque

from torpor.scaling.values import Averages

_MICRO = 1_000_000


class Window:
    """Means over `stable_seconds` and `burst_seconds` (at most as long) of what `add` was told."""

    __slots__ = ("_burst", "_burst_sum", "_first", "_now", "_peaks", "_ring", "_stable", "_sum")

    def __init__(self, stable_seconds: int, burst_seconds: int) -> None:
        self._stable = stable_seconds
        self._burst = burst_seconds
        self._ring = [0] * (stable_seconds + 1)
        self._sum = 0
        self._burst_sum = 0
        self._first: float | None = None
        self._now = 0.0
        self._peaks: deque[tuple[float, float]] = deque()

    def add(self, start: float, end: float, value: float) -> None:
        """Say that the signal was `value` from `start` to `end` (seconds, later than before)."""
        if end <= start:
            return
        if self._first is None:
            self._first = self._now = start
        start = max(start, end - self._stable)
        self._advance(start)
        while self._now < end:
            upto = min(end, math.floor(self._now) + 1.0)
            amount = round(value * (upto - self._now) * _MICRO)
            self._ring[math.floor(self._now) % len(self._ring)] += amount
            self._sum += amount
            self._burst_sum += amount
            self._advance(upto)
        self._note_peak()

    def averages(self) -> Averages:
        """Return the means up to the end of what was added last; zeros before that."""
        if self._first is None:
            return Averages()
        peak = self._peaks[0][1] if self._peaks else 0.0
        stable = self._mean(self._sum, self._stable)
        return Averages(stable, self._mean(self._burst_sum, self._burst), peak)

    def _advance(self, moment: float) -> None:
        """Move on to `moment`; each second that begins drops the one that left a window."""
        size, current, last = len(self._ring), math.floor(self._now), math.floor(moment)
        if last - current >= size:
            self._ring = [0] * size
            self._sum = self._burst_sum = 0
            current = last
        for second in range(current + 1, last + 1):
            self._burst_sum -= self._ring[(second - self._burst) % size]
            self._sum -= self._ring[(second - self._stable) % size]
            self._ring[second % size] = 0
        self._now = max(self._now, moment)

    def _mean(self, total: int, seconds: int) -> float:
        """Return the mean over `seconds`, or over what was seen if that is less.

        The sum covers whole buckets; the part of the oldest second that is still inside the
        window is added, so that the mean does not jump when a bucket leaves.
        """
        assert self._first is not None
        current = math.floor(self._now)
        oldest = self._ring[(current - seconds) % len(self._ring)]
        inside = 1.0 - (self._now - current)
        covered = min(float(seconds), self._now - self._first)
        if covered < seconds:
            return (total + oldest) / _MICRO / covered
        return (total + oldest * inside) / _MICRO / covered

    def _note_peak(self) -> None:
        mean = self._mean(self._burst_sum, self._burst)
        while self._peaks and self._peaks[-1][1] <= mean:
            self._peaks.pop()
        self._peaks.append((self._now, mean))
        while self._peaks[0][0] <= self._now - self._stable:
            self._peaks.popleft()
