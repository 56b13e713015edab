"""One time that a function was not there when a request came: who waited first, how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.gateway.coldstart import ColdStarts, Marks
from torpor.gateway.roster import Started
from torpor.resources.load import ColdStart
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics


@dataclass(slots=True)
class Episode:
    """From the first request that found no instance until one is let through.

    `since` is when that request came (monotonic seconds), None while nothing is amiss. An episode
    is counted once, however many requests it costs.
    """

    key: FunctionKey
    cold_starts: ColdStarts
    since: float | None = None
    _failed: bool = False

    def begin(self, now: float) -> None:
        """A request waits and there is no instance."""
        self.since, self._failed = now, False

    def cancel(self) -> None:
        """What is waited for is not a wake."""
        self.since = None

    def fail(self, reason: str) -> None:
        """Requests were refused because the function did not start."""
        if self.since is not None and not self._failed:
            metrics.COLD_STARTS.labels(reason).inc()
            self._failed = True

    def succeed(self, scaled: float | None, instance: Started, now: float) -> ColdStart | None:
        """A request is let through; return the cold start if it waited for one."""
        if self.since is None:
            return None
        marks = Marks(
            self.since, scaled, instance.scheduled, instance.started, instance.listening, now
        )
        self.since = None
        cold_start = self.cold_starts.add(self.key, marks)
        metrics.COLD_STARTS.labels("ok").inc()
        for phase, milliseconds in {**cold_start.phases, "total": cold_start.total_ms}.items():
            metrics.COLD_START_SECONDS.labels(phase).observe(milliseconds / 1000)
        return cold_start
