"""The trace of an event: each hop goes on with it under a span of its own.

taken from a source, or published ─▶ routed ─▶ delivered, an attempt at a time

A message carries the hop that stored it in a header of its own. The event keeps its `traceparent`:
that says where the event began (the CloudEvents extension "Distributed Tracing"). A trace that
begins here has an id made of the message's, so that all attempts, on whatever replica, are in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType
from typing import Final

from torpor.resources.trace_context import beginning, is_sampled
from torpor.telemetry.tracing import Emit, Kind, Span
from torpor.triggers.broker import names
from torpor.triggers.event import Event

HOP: Final = "traceparent"
"""The header of a message with the hop that stored it."""
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Hop:
    """One hop of one event; ids in lower-case hex, `flags` those of W3C Trace Context."""

    trace_id: str
    parent_span_id: str | None
    span_id: str
    flags: str

    @property
    def traceparent(self) -> str:
        """What the next hop is given."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    @property
    def is_sampled(self) -> bool:
        """Whether its span is wanted (W3C Trace Context, "Sampled flag")."""
        return is_sampled(self.flags)


def hop_of(given: str | None, message_id: str, name: str) -> Hop:
    """Return a hop such as an attempt, below the `given` traceparent if there is one. Pure."""
    span_id = _digest(f"{message_id} {name}", 8)
    found = beginning(given or "")
    if found is None or found.trace_id is None:
        return Hop(_digest(message_id, 16), None, span_id, "01")
    return Hop(found.trace_id, found.span_id, span_id, found.flags)


class Hops:
    """Tells hops that are over. Where no traces are sent it does nothing, and costs nothing.

    `wall` gives Unix seconds.
    """

    def __init__(self, emit: Emit | None, wall: Callable[[], float]) -> None:
        self._emit = emit
        self.wall = wall

    def stage(self, name: str, kind: Kind) -> Stage:
        """Begin a hop of events that are stored together."""
        return Stage(self, name, kind) if self._emit is not None else _NO_STAGE

    def tell(
        self,
        name: str,
        kind: Kind,
        began: float,
        hops: Iterable[tuple[Hop, Event]],
        error: str | None = None,
        attributes: Mapping[str, str | int] = MappingProxyType({}),
    ) -> None:
        """Tell the hops of some events, which began at Unix time `began` and ended now."""
        if self._emit is None:
            return
        ended = self.wall()
        for hop, event in hops:
            if hop.is_sampled:
                told = {**_attributes(event), **attributes}
                place = (hop.trace_id, hop.span_id, hop.parent_span_id)
                self._emit(Span(*place, name, kind, began, ended, error, told))


class Stage:
    """One hop of several events; those that `passes` was not called for are not told."""

    def __init__(self, hops: Hops | None, name: str, kind: Kind) -> None:
        self._hops = hops
        self._name = name
        self._kind = kind
        self._began = 0.0 if hops is None else hops.wall()
        self._passing: list[tuple[Hop, Event]] = []

    def passes(self, event: Event, given: str | None = None) -> Mapping[str, str]:
        """Return the headers of the message, below `given` or the event's own trace."""
        if self._hops is None:
            return _NONE
        message_id = names.message_id(event.source, event.id, "")
        hop = hop_of(given or event.traceparent, message_id, self._name)
        self._passing.append((hop, event))
        return {HOP: hop.traceparent}

    def ended(self) -> None:
        """Tell that all of them are stored."""
        if self._hops is not None:
            self._hops.tell(self._name, self._kind, self._began, self._passing)


_NO_STAGE = Stage(None, "", Kind.INTERNAL)


def _attributes(event: Event) -> dict[str, str | int]:
    """As OpenTelemetry's conventions for CloudEvents name them."""
    return {
        "cloudevents.event_id": event.id,
        "cloudevents.event_source": event.source,
        "cloudevents.event_type": event.type,
    }


def _digest(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes, person=b"torpor delivery").hexdigest()
