"""A Function in words: what it is and does, why, and where its cold starts spend time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from torpor.cli.output import age, bars, table
from torpor.resources.conditions import ACTIVE, READY, find
from torpor.resources.load import PHASES

Json = Mapping[str, Any]

LIST_HEADER = ("NAME", "READY", "ACTIVE", "REPLICAS", "COLD START", "URL", "AGE")


def list_table(objects: Sequence[Json], *, now: datetime, with_namespace: bool) -> str:
    """Return one line for each Function; the cold start is the median over the latest ones."""
    if not with_namespace:
        return table(LIST_HEADER, [_row(obj, now) for obj in objects])
    rows = [(str(obj["metadata"]["namespace"]), *_row(obj, now)) for obj in objects]
    return table(("NAMESPACE", *LIST_HEADER), rows)


def _row(obj: Json, now: datetime) -> tuple[str, ...]:
    status = obj.get("status", {})
    median = status.get("coldStart", {}).get("p50", {}).get("total")
    return (
        str(obj["metadata"]["name"]),
        _truth(status, READY),
        _truth(status, ACTIVE),
        str(status.get("replicas", {}).get("ready", 0)),
        "-" if median is None else f"{median} ms",
        str(status.get("url", "-")),
        age(obj["metadata"].get("creationTimestamp"), now),
    )


def _truth(status: Json, kind: str) -> str:
    found = find(status.get("conditions", ()), kind)
    return str(found["status"]) if found else "Unknown"


def show(obj: Json, now: datetime) -> str:
    """Return the whole description of one Function."""
    return "\n".join([*_facts(obj, now), *_cold_starts(obj), *_conditions(obj, now)])


def _facts(obj: Json, now: datetime) -> list[str]:
    meta, spec, status = obj["metadata"], obj.get("spec", {}), obj.get("status", {})
    ready = find(status.get("conditions", ()), READY)
    facts = {
        "function": f"{meta['namespace']}/{meta['name']}",
        "state": f"{ready['reason']}: {ready['message']}" if ready else "not seen by Torpor yet",
        "url": status.get("url", "-"),
        "runs": _source(spec),
        "replicas": _replicas(spec, status),
        "last decision": status.get("reason", "none yet"),
        "last active": _ago(status.get("lastActiveTime"), now),
    }
    width = max(map(len, facts))
    return [f"{name:<{width}}  {value}" for name, value in facts.items()]


def _ago(since: str | None, now: datetime) -> str:
    return f"{age(since, now)} ago" if since else "never"


def _source(spec: Json) -> str:
    if "image" in spec:
        return f"image {spec['image']}"
    code = spec.get("code", {})
    place = f"ConfigMap {code['configMap']}" if "configMap" in code else "inline code"
    return f"{spec.get('handler', '?')} from {place} on {spec.get('runtime', '?')}"


def _replicas(spec: Json, status: Json) -> str:
    found, scaling = status.get("replicas", {}), spec.get("scaling", {})
    counts = [f"{found.get(name, 0)} {name}" for name in ("desired", "ready", "starting")]
    bounds = f"min {scaling.get('minReplicas', 0)}, max {scaling.get('maxReplicas', 20)}"
    paused = ", paused" if scaling.get("paused") else ""
    return f"{', '.join(counts)} ({bounds}{paused})"


def _cold_starts(obj: Json) -> list[str]:
    found = obj.get("status", {}).get("coldStart")
    if not found:
        return ["", "cold starts: none yet"]
    last, p50, p95 = (found.get(name, {}) for name in ("last", "p50", "p95"))
    totals = f"p50 {p50.get('total', '-')} ms, p95 {p95.get('total', '-')} ms"
    title = f"cold starts: {found.get('samples', 0)} seen, {totals}; the last, by phase:"
    phases = {name: float(last[name]) for name in PHASES if name in last}
    total = f"  total {last.get('total', '-')} ms"
    return ["", title, *(f"  {line}" for line in bars(phases, "ms")), total]


def _conditions(obj: Json, now: datetime) -> list[str]:
    conditions = obj.get("status", {}).get("conditions", ())
    rows = [
        (
            str(item["type"]),
            str(item["status"]),
            age(item.get("lastTransitionTime"), now),
            str(item["reason"]),
            str(item["message"]),
        )
        for item in conditions
    ]
    return ["", table(("CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"), rows)]
