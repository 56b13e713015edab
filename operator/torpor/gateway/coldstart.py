"""Where the time of a wake from zero went: phases, the latest cold starts, and their quantiles."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.resources.load import PHASES, ColdStart
from torpor.resources.names import FunctionKey
from torpor.resources.ranks import nearest_rank

LATEST = 64
"""Cold starts that a gateway tells the autoscaler about."""
KEPT = 100
"""Cold starts of one function over which quantiles are taken."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Moments of one wake on the monotonic clock, in seconds; None where nothing was observed.

    In order: a request was held, the scale call was answered, the instance had a node, its
    container ran, it listened, the first request was let through.
    """

    held: float
    scaled: float | None
    scheduled: float | None
    started: float | None
    listening: float | None
    released: float

    @property
    def total_ms(self) -> float:
        """From the first held request to its release."""
        return max(0.0, self.released - self.held) * 1000

    def phases(self) -> Mapping[str, float]:
        """Return milliseconds by phase (`PHASES`); together they are `total_ms`, none is negative.

        A moment that was told out of order (the kubelet reports late) is moved between its
        neighbours; a phase whose end was not observed is absent and its time is in the next one.
        """
        ends = (self.scaled, self.scheduled, self.started, self.listening, self.released)
        found: dict[str, float] = {}
        last = self.held
        for phase, end in zip(PHASES, ends, strict=True):
            if end is None:
                continue
            moment = min(max(end, last), max(self.released, self.held))
            found[phase] = (moment - last) * 1000
            last = moment
        return found


class ColdStarts:
    """The latest cold starts of a gateway, and of each function that had one."""

    def __init__(self) -> None:
        self._sequence = 0
        self._latest: deque[ColdStart] = deque(maxlen=LATEST)
        self._totals: dict[FunctionKey, deque[float]] = {}

    @property
    def latest(self) -> tuple[ColdStart, ...]:
        """The last `LATEST` of them, oldest first."""
        return tuple(self._latest)

    def add(self, key: FunctionKey, marks: Marks) -> ColdStart:
        """Remember one cold start and return it."""
        self._sequence += 1
        cold_start = ColdStart(key, self._sequence, marks.phases(), marks.total_ms)
        self._latest.append(cold_start)
        self._totals.setdefault(key, deque(maxlen=KEPT)).append(marks.total_ms)
        return cold_start

    def quantiles_ms(self, key: FunctionKey) -> Mapping[str, float]:
        """Return `p50` and `p95` of the function's last `KEPT` totals; empty if it had none."""
        totals = self._totals.get(key)
        if not totals:
            return {}
        return {"p50": nearest_rank(totals, 0.5), "p95": nearest_rank(totals, 0.95)}

    def forget(self, key: FunctionKey) -> None:
        """Drop what is known of a deleted function."""
        self._totals.pop(key, None)
