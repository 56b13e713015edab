"""The trace of an execution: one trace id for all of its tasks, a span id for each. Pure.

Both are derived from what the execution is called, so that a retry, another engine and a child
execution go on with the same trace, and nothing is stored for it.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from torpor.workflows.records import Execution

_W3C = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})\b")
_XRAY = re.compile(r"\bRoot=1-([0-9a-f]{8})-([0-9a-f]{24})\b")
_XRAY_UNSAMPLED = re.compile(r"\bSampled=0\b")


def traceparent(execution: Execution, task_key: str) -> str:
    """The W3C traceparent for one task of an execution.

    A trace header that the execution was started with, a traceparent or one of X-Ray, is continued.
    """
    trace_id, flags = _trace(execution)
    return f"00-{trace_id}-{_digest(task_key, 8)}-{flags}"


def _trace(execution: Execution) -> tuple[str, str]:
    given = execution.trace_header or ""
    if (w3c := _W3C.match(given)) is not None and int(w3c[1], 16):
        return w3c[1], w3c[2]
    if (xray := _XRAY.search(given)) is not None:
        return xray[1] + xray[2], "00" if _XRAY_UNSAMPLED.search(given) else "01"
    # The name of an ended execution can be given again, later.
    return _digest(f"{execution.arn} {execution.started_at}", 16), "01"


def _digest(text: str, size_bytes: int) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=size_bytes, person=b"torpor trace").hexdigest()
