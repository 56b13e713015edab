"""A request's place in its trace: what it came with, and what whoever it calls is given.

Source: https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from torpor_runtime.event import Headers

BEGUN = "torpor=begun"
"""In `tracestate`: a gateway began the trace, and its `traceparent` names the span told here."""
_HEX = frozenset("0123456789abcdef")


class Place:
    """A request's place in its trace. Ids in lower-case hex, `began` is Unix time in seconds."""

    __slots__ = ("began", "is_cold", "is_sampled", "parent_id", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str, parent_id: str, *, is_sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.is_sampled = is_sampled
        self.is_cold = False
        self.began = time.time()


def placed(headers: Headers) -> Place:
    """Return where a request is, and have its header say so to the handler and whom it calls."""
    found = _parsed(headers.get("traceparent", ""))
    if found is None:
        headers.pop("tracestate", None)  # it belongs to a traceparent (W3C, 3.3.1.1)
        place = Place(os.urandom(16).hex(), os.urandom(8).hex(), "", is_sampled=True)
    else:
        trace_id, given, flags = found
        if not flags & 1:
            return Place(trace_id, given, "", is_sampled=False)
        if _was_begun(headers):
            return Place(trace_id, given, "", is_sampled=True)
        place = Place(trace_id, os.urandom(8).hex(), given, is_sampled=True)
    headers["traceparent"] = f"00-{place.trace_id}-{place.span_id}-01"
    return place


def _parsed(header: str) -> tuple[str, str, int] | None:
    """Return ids and flags (W3C Trace Context, 3.2.2), None if it is not to be gone on with."""
    parts = header.split("-")
    if len(parts) < 4 or [len(part) for part in parts[:4]] != [2, 32, 16, 2]:
        return None
    version, trace_id, span_id, flags = parts[:4]
    if version == "ff" or (version == "00" and len(parts) > 4):
        return None
    if not _HEX.issuperset(version + trace_id + span_id + flags):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    return trace_id, span_id, int(flags, 16)


def _was_begun(headers: Headers) -> bool:
    """Return whether a gateway began the trace, and take its word for it out of the header."""
    state = headers.get("tracestate", "")
    if BEGUN not in state:
        return False
    members = [member.strip() for member in state.split(",")]
    others = [member for member in members if member and member != BEGUN]
    if others:
        headers["tracestate"] = ",".join(others)
    else:
        del headers["tracestate"]
    return BEGUN in members
