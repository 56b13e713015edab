"""What a PromQL expression reads that no role of Torpor tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from prometheus_client.metrics import MetricWrapperBase

from torpor.telemetry import metrics

_NAME = re.compile(r"\b(torpor_\w+)(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPED = re.compile(r"\b(?:by|on|without|ignoring|group_left)\s*\(([^)]*)\)")
_OF_THE_TARGET = frozenset({"pod", "instance", "job"})
"""Labels that Prometheus itself adds."""
_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
}


def series() -> Mapping[str, frozenset[str]]:
    """Return every series of the registry by name, with its labels."""
    found = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for suffix in _SUFFIXES[str(metric._type)]:
                extra = {"le"} if suffix == "_bucket" else set()
                found[metric._name + suffix] = frozenset({*metric._labelnames, *extra})
    return found


def unknown(expression: str) -> Iterator[str]:
    """Yield the names of metrics and labels in an expression that no role tells."""
    known, seen = series(), set(_OF_THE_TARGET)
    names = [(match[1], match[2] or "") for match in _NAME.finditer(expression)]
    if not names:
        yield f"no metric of Torpor's: {expression}"
    for name, matchers in names:
        if name not in known:
            yield name
            continue
        seen |= known[name]
        labels = set(_MATCHER.findall(matchers))
        yield from (f"{name}: {label}" for label in labels - known[name] - _OF_THE_TARGET)
    for group in _GROUPED.findall(expression):
        yield from (label for label in re.findall(r"\w+", group) if label not in seen)
