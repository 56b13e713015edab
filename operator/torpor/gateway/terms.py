"""The few things of a Function that the request path needs. Pure.

Ten thousand functions asleep cost the gateway one of these each, not the whole resource.
"""

from __future__ import annotations

from dataclasses import dataclass

from torpor.resources.function import Function, Protocol


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms requests of one function are held, released and limited.

    `hold_seconds` is the longest that a request waits for an instance. `limit` 0 means none.
    """

    uid: str
    h2c: bool
    timeout_seconds: float
    startup_seconds: float
    hold_seconds: float
    hold_requests: int
    target: int
    limit: int

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
        )
