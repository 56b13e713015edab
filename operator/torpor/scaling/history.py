"""What is remembered of one function between two decisions."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.resources.function import Scaling
from torpor.scaling.meter import Sample
from torpor.scaling.values import Observation, Sight
from torpor.scaling.window import Window

_NONE = Sample()


class History:
    """The windows of one awake function, and since when it has been quiet."""

    __slots__ = ("_concurrency", "_last", "_rate", "_sampled_at", "_spec", "quiet_since")

    def __init__(self, spec: Scaling, now: float) -> None:
        self._spec = spec
        self._last = _NONE
        self._sampled_at = now
        self.quiet_since = now
        self._empty()

    def _empty(self) -> None:
        spec = self._spec
        self._concurrency = Window(spec.window_seconds, spec.burst_window_seconds)
        self._rate = Window(spec.window_seconds, spec.burst_window_seconds)

    def add(self, sample: Sample, starting: int, now: float) -> None:
        """Take the sample of the time since the last one, `starting` instances being on the way.

        While instances start, a request that waits counts only in the sample in which it came:
        the instances on the way were asked for because of it, and its waiting on says nothing
        about how many are needed. Otherwise a slow start would ask for more with each second.
        """
        if now - self.quiet_since >= self._spec.idle_seconds:
            self._empty()  # load that comes after the idle time is not an old one going on
        value = sample.concurrency
        if starting:
            value = sample.in_flight + max(0, sample.waiting - self._last.waiting)
        # A function's first sample has no length of its own: it stands for the second before it.
        start = min(self._sampled_at, now - 1.0) if self._last is _NONE else self._sampled_at
        self._concurrency.add(start, now, value)
        self._rate.add(start, now, sample.requests_per_second)
        self._last, self._sampled_at = sample, now
        # Most of what is answered in milliseconds is never there when one looks, but counted.
        if sample.present or sample.requests_per_second:
            self.quiet_since = now

    def observe(
        self,
        *,
        replicas: int,
        ready: int,
        busy: int,
        lag: Mapping[str, float],
        provisioned: int,
        watched_since: float,
        sight: Sight,
        raised_at: float,
        trouble: str,
    ) -> Observation:
        """Return what a decision looks at."""
        return Observation(
            replicas=replicas,
            ready=ready,
            present=self._last.present,
            waiting=self._last.waiting,
            busy=busy,
            concurrency=self._concurrency.averages(),
            requests_per_second=self._rate.averages(),
            lag=lag,
            provisioned=provisioned,
            quiet_since=self.quiet_since,
            watched_since=watched_since,
            sight=sight,
            raised_at=raised_at,
            trouble=trouble,
        )
