"""A trace as text: a line and a bar for each span, the spans below others indented. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torpor.cli.output import counted, table

BAR_WIDTH = 32
_SHORTEST = 70
_HEADER = ("span", "service", "time", "error", "")
_SAID = (
    ("torpor.attempt", "attempt {}"),
    ("http.response.status_code", "{}"),
    ("faas.coldstart", "cold start"),
)


def show(trace: Mapping[str, Any], width: int | None = None) -> str:
    """Return the trace that `GET /api/traces/<id>` told; no bars where `width` is too small."""
    bars = width is None or width >= _SHORTEST
    rows = [_row(span, trace, bars=bars) for span in trace["tree"]]
    lines = [_title(trace), "", *table(_HEADER, rows).splitlines(), *_notes(trace)]
    return "\n".join(line if width is None else line[:width] for line in lines)


def _title(trace: Mapping[str, Any]) -> str:
    parts = [counted(trace["spans"], "span", "spans"), _length(trace["seconds"])]
    if trace["errors"]:
        parts.append(counted(trace["errors"], "error", "errors"))
    return f"{trace['name']}  {trace['traceId']}\n{', '.join(parts)}"


def _notes(trace: Mapping[str, Any]) -> Iterator[str]:
    if trace["orphans"]:
        yield ""
        orphans = counted(trace["orphans"], "span is", "spans are")
        yield f"? {orphans} below one that is not known: it has not ended yet, or nobody told it"
    if trace["dropped"]:
        yield f"{counted(trace['dropped'], 'span', 'spans')} more did not find room"


def _row(span: Mapping[str, Any], trace: Mapping[str, Any], *, bars: bool) -> Sequence[str]:
    mark = "? " if span["orphan"] else ""
    name = f"{'  ' * span['depth']}{mark}{span['name']}{_said(span)}"
    bar = _bar(span, trace) if bars else ""
    return name, span["service"], _length(span["seconds"]), span["error"] or "", bar


def _said(span: Mapping[str, Any]) -> str:
    """Return what of the attributes is worth a place in the line."""
    told = span["attributes"]
    found = [
        text.format(told[name])
        for name, text in _SAID
        if str(told.get(name, "false")) not in ("false", "False", "200")
    ]
    return f" ({', '.join(found)})" if found else ""


def _bar(span: Mapping[str, Any], trace: Mapping[str, Any]) -> str:
    whole = trace["seconds"] or 1.0
    start: int = round((span["startedAt"] - trace["startedAt"]) / whole * BAR_WIDTH)
    length: int = max(1, round(span["seconds"] / whole * BAR_WIDTH))
    start = min(max(0, start), BAR_WIDTH - 1)
    return " " * start + "█" * min(length, BAR_WIDTH - start)


def _length(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
