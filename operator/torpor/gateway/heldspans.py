"""The spans of requests that are held: what a caller waited for before an instance had the request.

A warm request goes through HAProxy alone: nothing of ours sees it, so it has no span.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.telemetry.tracing import Emit, Kind, Span

_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1
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

    def tell(
        self,
        key: FunctionKey,
        trace: Trace,
        began: float,
        error: str | None,
        attributes: Mapping[str, str | int],
    ) -> None:
        """Tell of a hold that began at Unix time `began` and ended now."""
        found = _W3C.fullmatch(trace.traceparent)
        if self._emit is None or found is None or not int(found[3], 16) & _SAMPLED:
            return
        trace_id, given = found[1], found[2]
        if not int(trace_id, 16) or not int(given, 16):
            return
        own, parent = (given, None) if trace.begun else (self._new_id(), given)
        told = {"torpor.function": str(key), **attributes}
        name = f"hold {key}"
        self._emit(
            Span(trace_id, own, parent, name, Kind.INTERNAL, began, self.wall(), error, told)
        )
