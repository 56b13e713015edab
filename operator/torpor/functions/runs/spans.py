"""The span of a run of a Job Function, from when it was asked for to its end. Pure.

Its id follows from the run's name, so that whoever starts it, and whoever tells it, need not meet:
the program has it as the parent in TRACEPARENT before the span is told.
"""

from __future__ import annotations

from hashlib import blake2b

from torpor.resources.run import Run, RunState
from torpor.resources.trace_context import beginning, is_sampled
from torpor.telemetry.tracing import Kind, Span


def traceparent_of(run_id: str, given: str) -> str:
    """Return the TRACEPARENT of a run's program; `given` is its caller's, empty for none."""
    trace_id, _, flags = _place(run_id, given)
    return f"00-{trace_id}-{_digest(run_id, 8)}-{flags}"


def run_span(run: Run, given: str, began: float, ended: float) -> Span | None:
    """Return the span of a run that ended, None if it is not sampled; Unix times in seconds."""
    trace_id, parent, flags = _place(run.id, given)
    if not is_sampled(flags):
        return None
    return Span(
        trace_id,
        _digest(run.id, 8),
        parent,
        f"run {run.key}",
        Kind.SERVER,
        began,
        ended,
        None if run.state is RunState.SUCCEEDED else run.reason or run.state.value,
        {
            "torpor.function": str(run.key),
            "torpor.run.id": run.id,
            "torpor.run.outcome": run.state.value,
            "torpor.run.attempts": run.attempt,
            "torpor.run.pod_seconds": run.pod_seconds,
        },
    )


def _place(run_id: str, given: str) -> tuple[str, str | None, str]:
    """Return the trace, the parent and the flags; a run without a caller's trace begins one."""
    found = beginning(given)
    if found is None or found.trace_id is None or found.span_id is None:
        return _digest(run_id, 16), None, "01"
    return found.trace_id, found.span_id, found.flags


def _digest(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes, person=b"torpor run").hexdigest()
