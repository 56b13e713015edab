"""A Function in words: what it is and does, why, and where its cold starts spend time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from torpor.cli.fnevents import Happened
from torpor.cli.output import Column, Kind, age, bars, facts, object_name, table
from torpor.cli.remedies import remedy
from torpor.platform.kubernetes.resources import FUNCTIONS
from torpor.resources.conditions import ACTIVE, READY, STALLED, find
from torpor.resources.load import PHASES
from torpor.resources.names import FunctionKey

Json = Mapping[str, Any]


def kind(now: datetime, *, everywhere: bool) -> Kind:
    """Return how Functions are listed; the cold start is the median over the latest ones."""
    columns = (
        Column("NAME", lambda obj: str(obj["metadata"]["name"])),
        Column("READY", lambda obj: truth(obj, READY)),
        Column("ACTIVE", lambda obj: truth(obj, ACTIVE)),
        Column("REPLICAS", lambda obj: str(_status(obj).get("replicas", {}).get("ready", 0))),
        Column("COLD START", lambda obj: _milliseconds(obj, "p50")),
        Column("P95", lambda obj: _milliseconds(obj, "p95"), wide=True),
        Column("URL", lambda obj: str(_status(obj).get("url", "-"))),
        Column("AGE", lambda obj: age(obj["metadata"].get("creationTimestamp"), now)),
        Column("LAST ACTIVE", lambda obj: _ago(_status(obj).get("lastActiveTime"), now), wide=True),
        Column("RUNS", lambda obj: _source(obj.get("spec", {})), wide=True),
        Column("LAST DECISION", lambda obj: str(_status(obj).get("reason", "-")), wide=True),
    )
    spread = (Column("NAMESPACE", lambda obj: str(obj["metadata"]["namespace"])),)
    return Kind(name_of, (*(spread if everywhere else ()), *columns))


def name_of(obj: Json) -> str:
    """Return a Function's name as `-o name` prints it."""
    return object_name(FUNCTIONS.plural, obj["metadata"]["name"])


def _status(obj: Json) -> Json:
    return obj.get("status") or {}


def _milliseconds(obj: Json, column: str) -> str:
    found = _status(obj).get("coldStart", {}).get(column, {}).get("total")
    return "-" if found is None else f"{found} ms"


def truth(obj: Json, kind: str) -> str:
    """Return whether a condition of that type holds: True, False or Unknown."""
    found = find(_status(obj).get("conditions", ()), kind)
    return str(found["status"]) if found else "Unknown"


def show(obj: Json, events: Sequence[Happened], now: datetime, width: int | None = None) -> str:
    """Return the whole description of one Function, its bars no wider than `width`."""
    parts = (
        _facts(obj, now),
        _advice(obj),
        _decisions(obj, now),
        _cold_starts(obj, width),
        _happened(events, now),
        _conditions(obj, now),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _facts(obj: Json, now: datetime) -> list[str]:
    meta, spec, status = obj["metadata"], obj.get("spec", {}), _status(obj)
    ready = find(status.get("conditions", ()), READY)
    state = f"{ready['reason']}: {ready['message']}" if ready else "not seen by Torpor yet"
    return facts(
        {
            "function": f"{meta['namespace']}/{meta['name']}",
            "state": state,
            "url": status.get("url", "-"),
            "runs": _source(spec),
            "replicas": _replicas(spec, status),
            "last active": _ago(status.get("lastActiveTime"), now),
        }
    )


def _ago(since: str | None, now: datetime) -> str:
    return f"{age(since, now)} ago" if since else "never"


def _source(spec: Json) -> str:
    if "image" in spec:
        return f"image {spec['image']}"
    code = spec.get("code", {})
    place = f"ConfigMap {code['configMap']}" if "configMap" in code else "inline code"
    if "archive" in code:
        place = f"archive {code['archive'].get('url', '?')}"
    return f"{spec.get('handler', '?')} from {place} on {spec.get('runtime', '?')}"


def _replicas(spec: Json, status: Json) -> str:
    found, scaling = status.get("replicas", {}), spec.get("scaling", {})
    counts = [f"{found.get(name, 0)} {name}" for name in ("desired", "ready", "starting")]
    bounds = f"min {scaling.get('minReplicas', 0)}, max {scaling.get('maxReplicas', 20)}"
    paused = ", paused" if scaling.get("paused") else ""
    return f"{', '.join(counts)} ({bounds}{paused})"


def _advice(obj: Json) -> list[str]:
    """Return what to do, where somebody has to."""
    found = [f"  {remedy(it['reason'], key_of(obj))}" for it in troubles_of(obj)]
    return ["what to do", *found] if found else []


def troubles_of(obj: Json) -> list[Json]:
    """Return the conditions that say why a Function does not get on, one of each reason."""
    conditions, found = _status(obj).get("conditions", ()), dict[str, Json]()
    for kind, failing in ((READY, "False"), (STALLED, "True")):
        condition = find(conditions, kind)
        if condition and condition["status"] == failing:
            found.setdefault(str(condition["reason"]), condition)
    return list(found.values())


def key_of(obj: Json) -> FunctionKey:
    """Return the key of a Function's object."""
    return FunctionKey(obj["metadata"]["namespace"], obj["metadata"]["name"])


def _decisions(obj: Json, now: datetime) -> list[str]:
    rows = [
        (_ago(item["time"], now), f"{item['from']} -> {item['to']} replicas: {item['reason']}")
        for item in _status(obj).get("decisions", ())
    ]
    return ["last decisions", *_timed(rows)] if rows else ["last decisions: none yet"]


def _timed(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(when) for when, _ in rows)
    return [f"  {when:>{width}}  {text}" for when, text in rows]


def _cold_starts(obj: Json, width: int | None) -> list[str]:
    found = _status(obj).get("coldStart")
    if not found:
        return ["cold starts: none yet"]
    last, p50, p95 = (found.get(name, {}) for name in ("last", "p50", "p95"))
    totals = f"p50 {p50.get('total', '-')} ms, p95 {p95.get('total', '-')} ms"
    title = f"cold starts: {found.get('samples', 0)} seen, {totals}; the last, by phase:"
    phases = {name: float(last[name]) for name in PHASES if name in last}
    drawn = bars(phases, "ms", width and width - 2)
    return [title, *(f"  {line}" for line in drawn), f"  total {last.get('total', '-')} ms"]


def _happened(events: Sequence[Happened], now: datetime) -> list[str]:
    if not events:
        return []
    rows = [
        (f"{age(it.at, now)} ago", it.text + (f" ({it.count} times)" if it.count > 1 else ""))
        for it in events
    ]
    return ["lately", *_timed(rows)]


def _conditions(obj: Json, now: datetime) -> list[str]:
    rows = [
        (
            str(item["type"]),
            str(item["status"]),
            age(item.get("lastTransitionTime"), now),
            str(item["reason"]),
            str(item["message"]),
        )
        for item in _status(obj).get("conditions", ())
    ]
    return [table(("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"), rows)]
