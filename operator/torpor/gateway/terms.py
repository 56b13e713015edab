"""The few things of a Function that the request path needs. Pure.

Ten thousand functions asleep cost the gateway one of these each, not the whole resource.
"""

from __future__ import annotations

from dataclasses import dataclass

from torpor.platform.base import Trouble
from torpor.resources.conditions import BLOCKING, READY, find
from torpor.resources.function import Function, Protocol


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms requests of one function are held, released and limited.

    `hold_seconds` is the longest that a request waits for an instance. `limit` 0 means none.
    `blocked` says why no instance can be started at all, such as a ConfigMap that does not exist.
    """

    uid: str
    h2c: bool
    timeout_seconds: float
    startup_seconds: float
    hold_seconds: float
    hold_requests: int
    target: int
    limit: int
    blocked: Trouble | None = None

    @classmethod
    def of(cls, function: Function) -> Terms:
        """Return the terms that `function` asks for."""
        concurrency = function.scaling.concurrency
        return cls(
            uid=function.uid,
            h2c=function.protocol is Protocol.H2C,
            timeout_seconds=float(function.timeout_seconds),
            startup_seconds=float(function.startup_timeout_seconds),
            hold_seconds=float(min(function.hold.max_seconds, function.startup_timeout_seconds)),
            hold_requests=function.hold.max_requests,
            target=concurrency.target,
            limit=concurrency.limit,
            blocked=_blocked(function),
        )


def _blocked(function: Function) -> Trouble | None:
    ready = find(function.status.get("conditions", ()), READY)
    if ready is None or ready.get("status") != "False" or ready.get("reason") not in BLOCKING:
        return None
    if ready.get("observedGeneration") != function.generation:
        return None
    return Trouble(str(ready["reason"]), str(ready.get("message", "")), final=True)
