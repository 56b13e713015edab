"""The few things of a Function that the request path needs. Pure.

Ten thousand functions asleep cost the gateway one of these each, not the whole resource.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from torpor.platform.base import Trouble
from torpor.resources.asynchronous import Asynchronous
from torpor.resources.conditions import BLOCKING, FAILED_CREATE, READY, find
from torpor.resources.function import Function, Protocol, Scaling
from torpor.resources.instance import Probe

_USUAL = Asynchronous()
_PODLESS = frozenset({FAILED_CREATE})


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms requests of one function are held, released and limited.

    `port` is where its instances listen in a cluster. `hold_seconds` is the longest that a request
    waits for an instance. `limit` 0 means none. `wakes_most` is how many instances one wake may ask
    for: as many as a first step of scaling, one while scaling is paused. `blocked` says why no
    instance can be started at all, such as a ConfigMap that does not exist; `podless` why
    none could be made when that was last tried, such as a quota. `is_probed_by_port` is
    False where only Kubernetes knows when an instance is ready: it has a readiness probe by HTTP.
    `reserved` is how many requests may be in all instances and wait for one, None for any number.
    `asynchronous` is what becomes of calls that nobody waits for. `is_job` says that every call is
    a run: it has no instances, and whoever keeps runs bounds how many there are.
    """

    uid: str
    port: int
    h2c: bool
    timeout_seconds: float
    startup_seconds: float
    hold_seconds: float
    hold_requests: int
    target: int
    limit: int
    wakes_most: int
    blocked: Trouble | None = None
    podless: Trouble | None = None
    is_probed_by_port: bool = True
    reserved: int | None = None
    asynchronous: Asynchronous = _USUAL
    is_job: bool = False

    @property
    def limits(self) -> tuple[int, int]:
        """What gateways share: requests in one instance, and in the whole function; 0: no limit."""
        return self.limit, self.reserved or 0

    @property
    def published(self) -> tuple[object, ...]:
        """What the data plane is told of all functions together."""
        return self.reserved, self.limit, self.is_job

    @classmethod
    def of(cls, function: Function) -> Terms:
        """Return the terms that `function` asks for."""
        concurrency, is_job = function.scaling.concurrency, function.job is not None
        return cls(
            uid=function.uid,
            port=function.port,
            h2c=function.protocol is Protocol.H2C,
            timeout_seconds=float(function.timeout_seconds),
            startup_seconds=float(function.startup_timeout_seconds),
            hold_seconds=float(min(function.hold.max_seconds, function.startup_timeout_seconds)),
            hold_requests=function.hold.max_requests,
            target=concurrency.target,
            limit=0 if is_job else concurrency.limit,
            wakes_most=_wakes_most(function.scaling),
            blocked=_told(function, BLOCKING),
            podless=_told(function, _PODLESS),
            reserved=None if is_job else function.reserved_concurrency,
            is_probed_by_port=_is_probed_by_port(function.readiness_probe),
            asynchronous=_shared(function.asynchronous),
            is_job=is_job,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What falls to this gateway of a function: its terms, its share of the limit (0: none).

    `local` is False when another gateway is the function's home and this one only forwards.
    """

    terms: Terms
    share: int
    local: bool

    def replicas_for(self, waiting: int) -> int:
        """Return how many instances a wake asks for when so many requests wait; at least one.

        Each gateway sends its share of a limit to every instance, so gateways with equally many
        requests come to the same number, and the greatest of them serves all.
        """
        at_once = self.share or self.terms.target
        return max(1, min(math.ceil(waiting / at_once), self.terms.wakes_most))


def _shared(found: Asynchronous) -> Asynchronous:
    """Most functions have the usual settings: one object for all of them."""
    return _USUAL if found == _USUAL else found


def _is_probed_by_port(probe: Probe | None) -> bool:
    return probe is None or probe.http_path is None


def _wakes_most(scaling: Scaling) -> int:
    return 1 if scaling.paused else min(scaling.max_replicas, scaling.max_scale_up_factor)


def _told(function: Function, reasons: Collection[str]) -> Trouble | None:
    """Return why it is not Ready, if that is one of the `reasons` and of this generation."""
    ready = find(function.status.get("conditions", ()), READY)
    if ready is None or ready.get("status") != "False" or ready.get("reason") not in reasons:
        return None
    if ready.get("observedGeneration") != function.generation:
        return None
    return Trouble(str(ready["reason"]), str(ready.get("message", "")), final=True)
