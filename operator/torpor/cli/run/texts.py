"""Runs as text for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from torpor.cli.output import Column, Kind, age, counted, facts, table
from torpor.resources.conditions import moment
from torpor.resources.run import Run
from torpor.resources.run_details import RunDetails

_LONGEST_RESULT = 2_000
_HOUR_SECONDS = 3600


def kind(now: datetime, *, everywhere: bool) -> Kind:
    """Return how runs are listed."""
    columns = (
        Column("RUN", lambda run: run.id),
        Column("FUNCTION", lambda run: run.key.name),
        Column("STATE", lambda run: run.state.value),
        Column("PROGRESS", progress),
        Column("INDEXES", _indexes),
        Column("AGE", lambda run: age(run.created or None, now)),
        Column("TOOK", lambda run: _took(run, now)),
        Column("POD SECONDS", lambda run: f"{run.pod_seconds:.0f}", wide=True),
        Column("WHY", _why),
    )
    spread = (Column("NAMESPACE", lambda run: run.key.namespace),)
    return Kind(name_of, (*(spread if everywhere else ()), *columns))


def name_of(run: Run) -> str:
    """Return a run's name as `-o name` prints it."""
    return f"run/{run.id}"


def progress(run: Run) -> str:
    """Return how far it is, in one cell."""
    ratio = _number(run, "ratio")
    return "-" if ratio is None else f"{ratio:.0%}"


def show(details: RunDetails, now: datetime, pod_hour: float | None) -> str:
    """Return the whole description of one run; `pod_hour` is what a pod costs in an hour."""
    parts = (
        _facts(details.run, now, pod_hour),
        _attempts(details),
        _result(details.run),
    )
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _facts(run: Run, now: datetime, pod_hour: float | None) -> list[str]:
    pairs = {
        "run": f"{run.key.namespace}/{run.id}",
        "function": str(run.key),
        "state": run.state.value,
        "why": _why(run),
        "progress": told_progress(run),
        "created": f"{age(run.created or None, now)} ago",
        "took": _took(run, now),
        "indexes": _indexes_told(run),
        "attempt": str(run.attempt),
        "cost": cost(run, pod_hour),
    }
    return facts({name: value for name, value in pairs.items() if value})


def cost(run: Run, pod_hour: float | None) -> str:
    """Return what the run used, and what that costs at a price for an hour of a pod."""
    used = f"{run.pod_seconds:.1f} pod seconds"
    if pod_hour is None:
        return used
    return f"{used}, {run.pod_seconds / _HOUR_SECONDS * pod_hour:.4f} at {pod_hour:g} a pod-hour"


def told_progress(run: Run) -> str:
    """Return how far it is, how fast, and how long it will take; empty where nothing is told."""
    ratio, speed, left = (_number(run, name) for name in ("ratio", "speed", "leftSeconds"))
    parts = [f"{ratio:.1%}"] if ratio is not None else []
    done, total = _number(run, "done"), _number(run, "total")
    unit = str((run.progress or {}).get("unit") or "")
    if done is not None:
        parts.append(f"{done:g}" + (f" of {total:g}" if total is not None else "") + f" {unit}")
    if speed is not None and not run.state.is_final:
        parts.append(f"{speed:.4g} {unit}/s")
    if left is not None and not run.state.is_final:
        parts.append(f"{seconds_told(left)} left")
    message = str((run.progress or {}).get("message") or "")
    return ", ".join(part.strip() for part in [*parts, message] if part.strip())


def seconds_told(seconds: float) -> str:
    """Return a length of time: 12 s, 3m 5s, 2h 10m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < _HOUR_SECONDS:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // _HOUR_SECONDS}h {whole % _HOUR_SECONDS // 60}m"


def ended(run: Run) -> str:
    """Return in one line how a run ended."""
    text = f"run {run.id} {run.state.value.lower()}"
    why = _why(run)
    return f"{text}: {why}" if why else text


def result_text(value: Any) -> str:
    """Return a result as it is printed: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _why(run: Run) -> str:
    return ": ".join(part for part in (run.reason, run.message) if part)


def _took(run: Run, now: datetime) -> str:
    if not run.started:
        return "-"
    end = moment(run.finished) if run.finished else now
    return seconds_told(max(0.0, (end - moment(run.started)).total_seconds()))


def _indexes(run: Run) -> str:
    return f"{run.indexes.succeeded}/{run.indexes.total}"


def _indexes_told(run: Run) -> str:
    found = run.indexes
    if found.total == 1:
        return ""
    parts = ((found.succeeded, "succeeded"), (found.active, "active"), (found.failed, "failed"))
    told = ", ".join(f"{count} {name}" for count, name in parts if count)
    return f"{counted(found.total, 'index', 'indexes')}" + (f": {told}" if told else "")


def _attempts(details: RunDetails) -> list[str]:
    rows: Sequence[Sequence[str]] = [
        (str(one.index), str(one.number), one.where, one.how) for one in details.attempts
    ]
    return [table(("INDEX", "ATTEMPT", "NODE", "HOW IT IS"), rows)] if rows else []


def _result(run: Run) -> list[str]:
    if run.result is None:
        return []
    text = result_text(run.result)
    more = f"… ({len(text)} characters; -o json has all)" if len(text) > _LONGEST_RESULT else ""
    return ["result", *(f"  {line}" for line in (text[:_LONGEST_RESULT] + more).splitlines())]


def _number(run: Run, name: str) -> float | None:
    found = (run.progress or {}).get(name)
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and found is not None else None
