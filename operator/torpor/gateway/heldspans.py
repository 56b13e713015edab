"""The spans of requests that are held: what a caller waited for before an instance had the request.

A warm request goes through HAProxy alone: nothing of ours sees it, so it has no span.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torpor.gateway.dataplane.base import Refused
from torpor.resources.names import FunctionKey
from torpor.resources.trace_context import whole
from torpor.telemetry.tracing import Emit, Kind, Span

LEFT = "abandoned"
"""The error of a request whose client did not wait."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A request's place in its trace (W3C Trace Context).

    `begun`: this gateway gave it its `traceparent`, as the client sent none. Then that names the
    span of its hold, else the caller's span.
    """

    traceparent: str
    begun: bool


class Phased(Protocol):
    """A verdict that lets a request go on; `phases` are a wake's, in milliseconds."""

    @property
    def phases(self) -> Mapping[str, float]:
        """Where the time of the one that woke the function went; empty for others."""
        ...


def told_of(
    verdict: Phased | Refused | None, request_id: str, hold: str
) -> tuple[str | None, Mapping[str, str | int]]:
    """Return the error and the attributes of a hold's span; no verdict: its client left."""
    told: dict[str, str | int] = {"torpor.request_id": request_id, "torpor.hold": hold}
    if verdict is None:
        return LEFT, told
    if isinstance(verdict, Refused):
        return verdict.code, {**told, "http.response.status_code": verdict.status}
    phases = {f"torpor.cold_start.{name}_ms": round(ms) for name, ms in verdict.phases.items()}
    return None, {**told, **phases}


class HeldSpans:
    """Tells holds that are over. Where no traces are sent it does nothing.

    `wall` gives Unix seconds.
    """

    def __init__(
        self,
        emit: Emit | None,
        wall: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._emit = emit
        self.wall = wall
        self._new_id = new_id

    @property
    def are_off(self) -> bool:
        """Whether no hold is told."""
        return self._emit is None

    def tell(
        self,
        key: FunctionKey,
        trace: Trace,
        began: float,
        error: str | None,
        attributes: Mapping[str, str | int],
    ) -> None:
        """Tell of a hold that began at Unix time `began` and ended now."""
        found = whole(trace.traceparent)
        if self._emit is None or found is None or not found.is_sampled:
            return
        trace_id, given = found.trace_id, found.span_id
        if trace_id is None or given is None:
            return
        own, parent = (given, None) if trace.begun else (self._new_id(), given)
        told = {"torpor.function": str(key), **attributes}
        name = f"hold {key}"
        self._emit(
            Span(trace_id, own, parent, name, Kind.INTERNAL, began, self.wall(), error, told)
        )
