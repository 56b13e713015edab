"""The trace of a delivery: the event's own is gone on with, with a span id for each hop. Pure.

Nothing is stored: without a trace of its own an event's trace id is made of its message's id, so
that all its attempts, on whatever replica, belong to one trace. The event keeps its `traceparent`:
that says where the event began (the CloudEvents extension "Distributed Tracing").
"""

from __future__ import annotations

import re
from hashlib import blake2b

_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})\b")


def traceparent(given: str | None, message_id: str, hop: str) -> str:
    """Return the W3C traceparent of one hop, such as an attempt, of an event or batch."""
    trace_id, flags = _digest(message_id, 16), "01"
    found = _W3C.match(given or "")
    if found is not None and int(found[1], 16):
        trace_id, flags = found[1], found[2]
    return f"00-{trace_id}-{_digest(f'{message_id} {hop}', 8)}-{flags}"


def _digest(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes, person=b"torpor delivery").hexdigest()
