"""The trace that comes with what a source takes: in a header, metadata or a column. Pure."""

from __future__ import annotations

from typing import Any, Final

from torpor.resources.trace_context import whole

COLUMN: Final = "traceparent"
"""How headers, metadata and columns with a trace are called (W3C Trace Context, 3.2)."""


def traceparent(value: Any) -> str | None:
    """Return a W3C traceparent, None for anything else."""
    return value if isinstance(value, str) and whole(value) else None
