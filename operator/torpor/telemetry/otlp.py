"""Spans to a collector by OTLP over HTTP, with OpenTelemetry's SDK.

The SDK batches and sends on a thread of its own. What it lacks is here: a bound that is counted, a
metric for what is lost, and a log that stays readable while the collector is away. Imported only
where traces are sent.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from torpor import __version__
from torpor.telemetry.metrics import TRACE_SPANS_DROPPED
from torpor.telemetry.tracing import Kind, Span

MOST_SPANS = 8_192
"""Spans that wait to be sent; more are dropped. A kilobyte each."""
_library_log = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
_QUIET_SECONDS = 60.0
_MOST_CHARACTERS = 1_024
"""Of a name or an attribute: states and errors are named by users."""
_NANOSECONDS = 1_000_000_000
_KINDS = {
    Kind.INTERNAL: SpanKind.INTERNAL,
    Kind.SERVER: SpanKind.SERVER,
    Kind.CLIENT: SpanKind.CLIENT,
}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("torpor", __version__)


class OtlpExporter:
    """Sends spans as the environment says (`OTEL_EXPORTER_OTLP_…`); ValueError if it cannot be."""

    def __init__(self, service: str) -> None:
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        self._resource = Resource.create({} if named else {SERVICE_NAME: service})
        self._quiet = _OneAMinute(time.monotonic)
        _library_log.addFilter(self._quiet)
        self._sending = _Counted(OTLPSpanExporter())
        self._batches = BatchSpanProcessor(self._sending, max_queue_size=MOST_SPANS)
        self._taken = 0

    def emit(self, span: Span) -> None:
        """Hand a span over; it is dropped when too many wait already. Of one thread only."""
        if self._taken - self._sending.settled >= MOST_SPANS:
            TRACE_SPANS_DROPPED.labels("queue_full").inc()
            return
        self._taken += 1
        self._batches.on_end(_readable(span, self._resource))

    def flush(self) -> None:
        """Send what waits and end; blocks, for as long as the collector makes it wait."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]
        _library_log.removeFilter(self._quiet)

    def give_up(self) -> None:
        """End whatever `flush` still tries, and count what was not sent."""
        self._sending.shutdown()
        TRACE_SPANS_DROPPED.labels("stopped").inc(self._taken - self._sending.settled)


class _Counted(SpanExporter):
    """Sends with another exporter, and counts: `settled` are the spans sent or refused."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._ended = False
        self.settled = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; FAILURE when the collector did not take it in time."""
        if self._ended:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        if self._ended:
            return result  # counted as not sent already
        if result is not SpanExportResult.SUCCESS:
            TRACE_SPANS_DROPPED.labels("not_taken").inc(len(spans))
        self.settled += len(spans)
        return result

    def shutdown(self) -> None:
        """Send no more; a batch that is tried again is given up."""
        if not self._ended:
            self._ended = True
            self._exporter.shutdown()


class _OneAMinute(logging.Filter):
    """Lets one line a minute through: a collector that is away says the same all the time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._next = clock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this record is to be written."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + _QUIET_SECONDS
        return True


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    parent = span.parent_span_id
    told = {**span.attributes, **({"error.type": span.error} if span.error else {})}
    return ReadableSpan(
        _text(span.name),
        context=_context(span.trace_id, span.span_id, is_remote=False),
        parent=_context(span.trace_id, parent, is_remote=True) if parent else None,
        resource=resource,
        attributes={
            name: _text(value) if isinstance(value, str) else value for name, value in told.items()
        },
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR, _text(span.error)) if span.error else Status(),
        start_time=int(span.start_seconds * _NANOSECONDS),
        end_time=int(max(span.start_seconds, span.end_seconds) * _NANOSECONDS),
        instrumentation_scope=_SCOPE,
    )


def _text(text: str) -> str:
    """As protobuf takes it: one surrogate would cost the spans of a whole batch."""
    text = text[:_MOST_CHARACTERS]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _context(trace_id: str, span_id: str, *, is_remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, _SAMPLED)
