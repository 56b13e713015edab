"""What every role tells of itself."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from torpor.telemetry.metrics.registry import REGISTRY

STARTED = Gauge(
    "process_start_time_seconds",
    "When the process began, in seconds since 1970: its counters are from then on.",
    registry=REGISTRY,
)
STARTED.set_to_current_time()
TRACE_SPANS_DROPPED = Counter(
    "torpor_trace_spans_dropped",
    "Spans that no collector got, by reason: queue_full, not_taken, stopped.",
    ("reason",),
    registry=REGISTRY,
)
