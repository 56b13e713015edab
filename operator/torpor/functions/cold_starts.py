"""The cold starts that gateways report, each counted once, as a function's status shows them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torpor.resources.load import ColdStart, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.resources.ranks import nearest_rank

KEPT = 100
"""Cold starts of a function that the percentiles are taken over."""
MOST_GATEWAYS = 256
"""Of so many processes it is known what they reported; those not heard of for long go first."""
TOTAL = "total"
"""The name under which the whole stands beside the phases."""


@dataclass(frozen=True, slots=True)
class ColdStarts:
    """Milliseconds by phase and in `total`: of the last cold start, and over the latest ones."""

    count: int
    last: Mapping[str, float]
    p50: Mapping[str, float]
    p95: Mapping[str, float]


class ColdStartLog:
    """The latest cold starts of every function."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], int] = {}
        self._kept: dict[FunctionKey, deque[ColdStart]] = defaultdict(lambda: deque(maxlen=KEPT))

    def take(self, answers: Iterable[GatewayLoad]) -> set[FunctionKey]:
        """Add those that were not seen before; return the functions that got one."""
        touched = set()
        for answer in answers:
            for item in self._new(answer):
                self._kept[item.function].append(item)
                touched.add(item.function)
        return touched

    def of(self, key: FunctionKey) -> ColdStarts | None:
        """Return the summary of one function; None when it never started cold."""
        kept = self._kept.get(key)
        if not kept:
            return None
        by_phase: dict[str, list[float]] = defaultdict(list)
        for item in kept:
            for phase, value in _with_total(item).items():
                by_phase[phase].append(value)
        p50 = {phase: nearest_rank(values, 0.5) for phase, values in by_phase.items()}
        p95 = {phase: nearest_rank(values, 0.95) for phase, values in by_phase.items()}
        return ColdStarts(len(kept), _with_total(kept[-1]), p50, p95)

    def drop(self, key: FunctionKey) -> None:
        """Forget a function that was deleted."""
        self._kept.pop(key, None)

    def _new(self, answer: GatewayLoad) -> list[ColdStart]:
        place = (answer.gateway, answer.boot)
        if place not in self._seen:  # an earlier life of this gateway reports no more
            for old in [known for known in self._seen if known[0] == answer.gateway]:
                del self._seen[old]
        last = self._seen.pop(place, -1)  # put back as the latest
        new = [item for item in answer.cold_starts if item.sequence > last]
        self._seen[place] = max((item.sequence for item in new), default=last)
        while len(self._seen) > MOST_GATEWAYS:
            del self._seen[next(iter(self._seen))]
        return sorted(new, key=lambda item: item.sequence)


def _with_total(item: ColdStart) -> dict[str, float]:
    return {**item.phases, TOTAL: item.total_ms}
