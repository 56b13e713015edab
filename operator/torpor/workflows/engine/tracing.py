"""The trace of an execution: one trace id for all of its tasks, a span id for each. Pure.

All are derived from what the execution is called, so that a retry, another engine and a child
execution go on with the same trace, and nothing is stored for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from torpor.resources.trace_context import beginning, is_sampled
from torpor.workflows.records import Execution

_XRAY = re.compile(r"\bRoot=1-([0-9a-f]{8})-([0-9a-f]{24})\b")
_XRAY_PARENT = re.compile(r"\bParent=([0-9a-f]{16})\b")
_XRAY_UNSAMPLED = re.compile(r"\bSampled=0\b")


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace that an execution belongs to; `parent_span_id` is whoever started it, if told.

    `flags` are those of W3C Trace Context, two digits.
    """

    id: str
    parent_span_id: str | None
    flags: str

    @property
    def is_sampled(self) -> bool:
        """Whether spans of it are wanted (W3C Trace Context, "Sampled flag")."""
        return is_sampled(self.flags)


def trace_of(execution: Execution) -> Trace:
    """The trace of an execution.

    A trace header that it was started with, a traceparent or one of X-Ray, is continued.
    """
    given = execution.trace_header or ""
    if (w3c := beginning(given)) is not None and w3c.trace_id is not None:
        return Trace(w3c.trace_id, w3c.span_id, w3c.flags)
    if (xray := _XRAY.search(given)) is not None:
        parent = _XRAY_PARENT.search(given)
        flags = "00" if _XRAY_UNSAMPLED.search(given) else "01"
        return Trace(xray[1] + xray[2], parent[1] if parent else None, flags)
    # The name of an ended execution can be given again, later.
    return Trace(_digest(f"{execution.arn} {execution.started_at}", 16), None, "01")


def traceparent(execution: Execution, task_key: str) -> str:
    """The W3C traceparent for one task of an execution: its parent is that task's span."""
    trace = trace_of(execution)
    return f"00-{trace.id}-{task_span_id(task_key)}-{trace.flags}"


def task_span_id(task_key: str) -> str:
    """The id of the span of one attempt of a task, from its idempotency key."""
    return _digest(task_key, 8)


def execution_span_id(execution: Execution, redrive_count: int) -> str:
    """The id of the span around one run of an execution; each redrive is a run of its own."""
    return _digest(f"{execution.arn} {execution.started_at} {redrive_count}", 8)


def _digest(text: str, size_bytes: int) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=size_bytes, person=b"torpor trace").hexdigest()
