"""The latest traces, in memory: what people look at where there is no collector. Pure.

Bounded in every direction. When it is full the trace that nothing was added to for the longest
time goes; a trace that is full itself takes no more, and says how many it did not take. The same
span told again replaces the first one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

from torpor.telemetry.tracing import Span

TRACES = 200
SPANS = 2_000
"""Of one trace."""
SIZE_BYTES = 64 * 1024 * 1024
_MOST_CHARACTERS = 1_024
_MOST_ATTRIBUTES = 64
_SPAN_BYTES = 800
"""What a span takes beside its texts, measured with CPython 3.11."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A span in its tree: `depth` is 0 for a root, `is_orphan` if its parent is not known."""

    depth: int
    is_orphan: bool
    service: str
    span: Span

    def as_json(self) -> dict[str, Any]:
        """Return it as APIs tell it; times in seconds since the epoch."""
        span = self.span
        return {
            "spanId": span.span_id,
            "parentSpanId": span.parent_span_id,
            "depth": self.depth,
            "orphan": self.is_orphan,
            "service": self.service,
            "name": span.name,
            "kind": span.kind.value,
            "startedAt": span.start_seconds,
            "seconds": _length_of(span),
            "error": span.error,
            "attributes": dict(span.attributes),
        }


@dataclass(frozen=True, slots=True)
class Summary:
    """A trace in one line, named after its first root, or its first span while it has no root.

    `errors` and `orphans` are counts of spans; `dropped` of those that there was no room for.
    """

    trace_id: str
    name: str
    started_at: float
    seconds: float
    spans: int
    errors: int
    orphans: int
    dropped: int

    def as_json(self) -> dict[str, Any]:
        """Return it as APIs tell it."""
        return {
            "traceId": self.trace_id,
            "name": self.name,
            "startedAt": self.started_at,
            "seconds": self.seconds,
            "spans": self.spans,
            "errors": self.errors,
            "orphans": self.orphans,
            "dropped": self.dropped,
        }


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace: every span once, parents before children, siblings by their start.

    Roots come first, then what hangs below spans that are not known.
    """

    summary: Summary
    branches: tuple[Branch, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as APIs tell it; a list with depths, as a trace may be deeper than parsers."""
        return {**self.summary.as_json(), "tree": [branch.as_json() for branch in self.branches]}


@dataclass(slots=True)
class _Kept:
    spans: dict[str, tuple[str, Span]] = field(default_factory=dict)
    size_bytes: int = 0
    dropped: int = 0
    summary: Summary | None = None


class SpanStore:
    """Keeps the spans of the latest `traces`, of each at most `spans`, together `size_bytes`."""

    def __init__(
        self, *, traces: int = TRACES, spans: int = SPANS, size_bytes: int = SIZE_BYTES
    ) -> None:
        self._most_traces = traces
        self._most_spans = spans
        self._most_bytes = size_bytes
        self._traces: dict[str, _Kept] = {}
        self._size_bytes = 0

    @property
    def size_bytes(self) -> int:
        """About what is kept."""
        return self._size_bytes

    def __len__(self) -> int:
        """How many traces are kept."""
        return len(self._traces)

    def add(self, service: str, span: Span) -> None:
        """Keep a span that the process `service` told; long texts and attributes are cut."""
        service, span = _text(service), _cut(span)
        kept = self._traces.pop(span.trace_id, None) or _Kept()
        self._traces[span.trace_id] = kept  # the last one: the one that stays longest
        kept.summary = None
        before = kept.spans.get(span.span_id)
        more = _size_of(service, span) - (_size_of(*before) if before else 0)
        if (before is None and len(kept.spans) >= self._most_spans) or not self._make_room(more):
            kept.dropped += 1
        else:
            kept.spans[span.span_id] = (service, span)
            kept.size_bytes += more
            self._size_bytes += more

    def latest(self, limit: int = TRACES) -> list[Summary]:
        """Return the traces that began last, the last one first."""
        found = (_summed(trace_id, kept) for trace_id, kept in self._traces.items() if kept.spans)
        return sorted(found, key=lambda each: each.started_at, reverse=True)[:limit]

    def tree(self, trace_id: str) -> Tree | None:
        """Return a trace by its id in lower-case hex, None if it is not known (any more)."""
        kept = self._traces.get(trace_id)
        if kept is None or not kept.spans:
            return None
        return Tree(_summed(trace_id, kept), tuple(_branches(kept.spans)))

    def _make_room(self, more_bytes: int) -> bool:
        while len(self._traces) > 1 and (
            len(self._traces) > self._most_traces
            or self._size_bytes + more_bytes > self._most_bytes
        ):
            self._size_bytes -= self._traces.pop(next(iter(self._traces))).size_bytes
        return self._size_bytes + more_bytes <= self._most_bytes


def _summed(trace_id: str, kept: _Kept) -> Summary:
    if kept.summary is None:
        kept.summary = _summary(trace_id, kept)
    return kept.summary


def _summary(trace_id: str, kept: _Kept) -> Summary:
    spans = [span for _, span in kept.spans.values()]
    first = min(spans, key=lambda span: (span.parent_span_id is not None, span.start_seconds))
    start = min(span.start_seconds for span in spans)
    end = max(span.start_seconds + _length_of(span) for span in spans)
    known = kept.spans
    return Summary(
        trace_id,
        first.name,
        start,
        end - start,
        len(spans),
        sum(span.error is not None for span in spans),
        sum(span.parent_span_id is not None and span.parent_span_id not in known for span in spans),
        kept.dropped,
    )


def _branches(spans: Mapping[str, tuple[str, Span]]) -> Iterator[Branch]:
    below: dict[str, list[str]] = defaultdict(list)
    roots: list[str] = []
    orphans: list[str] = []
    for span_id in sorted(spans, key=lambda each: spans[each][1].start_seconds):
        parent = spans[span_id][1].parent_span_id
        if parent is None:
            roots.append(span_id)
        elif parent in spans:
            below[parent].append(span_id)
        else:
            orphans.append(span_id)
    told: set[str] = set()
    # Spans that are below themselves are found last: nothing else leads to them.
    for top in (*roots, *orphans, *sorted(spans, key=lambda each: spans[each][1].start_seconds)):
        for depth, span_id in _walk(top, below, told):
            service, span = spans[span_id]
            yield Branch(depth, depth == 0 and span.parent_span_id is not None, service, span)


def _walk(
    top: str, below: Mapping[str, Iterable[str]], told: set[str]
) -> Iterator[tuple[int, str]]:
    waiting = [(0, top)]
    while waiting:
        depth, span_id = waiting.pop()
        if span_id in told:
            continue
        told.add(span_id)
        yield depth, span_id
        children = [(depth + 1, child) for child in below.get(span_id, ())]
        waiting.extend(reversed(children))


def _length_of(span: Span) -> float:
    return max(0.0, span.end_seconds - span.start_seconds)


def _cut(span: Span) -> Span:
    attributes = {
        _text(name): _text(value) if isinstance(value, str) else value
        for name, value in islice(span.attributes.items(), _MOST_ATTRIBUTES)
    }
    return replace(
        span,
        name=_text(span.name),
        error=_text(span.error) if span.error is not None else None,
        attributes=MappingProxyType(attributes),
    )


def _text(text: str) -> str:
    """Return it cut, and without lone surrogates, which no terminal takes."""
    text = text[:_MOST_CHARACTERS]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _size_of(service: str, span: Span) -> int:
    """Four bytes a character, the most that CPython takes, and 150 for an attribute."""
    texts = [service, span.name, span.error or "", *span.attributes]
    texts += [value for value in span.attributes.values() if isinstance(value, str)]
    return _SPAN_BYTES + 150 * len(span.attributes) + 4 * sum(map(len, texts))
