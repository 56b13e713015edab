"""The running totals of one function on this gateway: they only grow while the gateway lives."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from torpor.gateway.dataplane.base import LaneLoad
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics

EMPTY = LaneLoad(0, 0, 0, {})
"""The load of a function that has no lane."""

_GAUGES = (metrics.HELD, metrics.IN_FLIGHT, metrics.QUEUED)


@dataclass(slots=True)
class Tally:
    """Totals that outlive a function's sleep, and its series in the metrics.

    A lane's own count of requests begins at zero with the lane, and again if the plane restarts.
    """

    key: FunctionKey
    concurrency_seconds: float = 0.0
    requests: int = 0
    _counted: int = 0
    _awake: bool = False

    def add(self, load: LaneLoad, held: int, seconds: float) -> None:
        """Take in what was present for the last `seconds`."""
        self.concurrency_seconds += (load.in_flight + load.queued + held) * seconds
        began_again = load.requests < self._counted
        fresh = load.requests - (0 if began_again else self._counted)
        self._counted = load.requests
        self.requests += fresh
        self._show(load, held, fresh)
        if self._awake:  # else the time since the last reading is that of a sleep
            inside = load.in_flight * seconds
            metrics.REQUEST_SECONDS.labels(*self._labels()).inc(inside)
        self._awake = True

    def remove_series(self) -> None:
        """Take the function's series out of the metrics: it was deleted."""
        self.rest()
        self._remove(metrics.REQUESTS)
        self._remove(metrics.REQUEST_SECONDS)

    def rest(self) -> None:
        """Take out what shows the present: the function is asleep. Its totals stay."""
        self._awake = False
        for gauge in _GAUGES:
            self._remove(gauge)

    def _remove(self, metric: Gauge | Counter) -> None:
        metric.labels(*self._labels())  # remove() raises for a series that never was
        metric.remove(*self._labels())

    def _show(self, load: LaneLoad, held: int, fresh: int) -> None:
        for gauge, value in zip(_GAUGES, (held, load.in_flight, load.queued), strict=True):
            gauge.labels(*self._labels()).set(value)
        metrics.REQUESTS.labels(*self._labels()).inc(fresh)

    def _labels(self) -> tuple[str, str]:
        return self.key.namespace, self.key.name
