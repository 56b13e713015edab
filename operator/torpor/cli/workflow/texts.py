"""Workflows, executions and their histories as text for people, and with readable times. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from torpor.cli.output import Column, Kind, age, columns_table, object_name, table
from torpor.cli.workflow.reach import spoken
from torpor.platform.kubernetes.resources import WORKFLOWS
from torpor.workflows.asl.timestamps import format_timestamp
from torpor.workflows.graph import Visit, visits

_TIMES = ("Date", "timestamp")
_LONGEST_CELL = 72
_LABEL_CHARACTERS = 11
"""`execution` is the longest name of a line, and two blanks follow it."""
_NOT_TOLD = ("inputDetails", "outputDetails", "resourceType", "name", "roleArn")


def readable(value: Any) -> Any:
    """The same value with its times, which are seconds since the epoch, in RFC 3339."""
    if isinstance(value, list):
        return [readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: format_timestamp(item) if name.endswith(_TIMES) and _is_time(item) else readable(item)
        for name, item in value.items()
    }


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def duration(seconds: float) -> str:
    """A length of time: 12 ms, 3.4 s, 5m, 3h, 12d."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f}{unit}"
    raise AssertionError("two minutes are two minutes")


def machines(now: datetime) -> Kind:
    """How workflows are listed."""
    return Kind(
        lambda item: object_name(WORKFLOWS.plural, _split(item["name"])[1]),
        (
            Column("NAMESPACE", lambda item: _split(item["name"])[0]),
            Column("NAME", lambda item: _split(item["name"])[1]),
            Column("TYPE", lambda item: str(item["type"]).capitalize()),
            Column("AGE", lambda item: age(format_timestamp(item["creationDate"]), now)),
            Column("ARN", lambda item: str(item["stateMachineArn"]), wide=True),
        ),
    )


def _split(name: str) -> tuple[str, str]:
    namespace, slash, plain = spoken(name).rpartition("/")
    return (namespace if slash else "-", plain)


def executions(now: datetime) -> Kind:
    """How executions are listed; their name for programs is their ARN."""
    return Kind(
        lambda item: str(item["executionArn"]),
        (
            Column("EXECUTION", lambda item: str(item["name"])),
            Column("STATUS", lambda item: str(item["status"])),
            Column("STARTED", lambda item: age(format_timestamp(item["startDate"]), now)),
            Column("TOOK", lambda item: _took(item, now)),
            Column("ARN", lambda item: str(item["executionArn"]), wide=True),
        ),
    )


def _took(execution: Mapping[str, Any], now: datetime) -> str:
    end = execution.get("stopDate") or now.timestamp()
    return duration(max(0.0, end - execution["startDate"]))


def show_machine(
    machine: Mapping[str, Any], latest: Sequence[Mapping[str, Any]], now: datetime
) -> str:
    """All about a workflow, and its last executions."""
    definition = json.loads(machine["definition"])
    lines = [
        ("workflow", spoken(machine["name"])),
        ("arn", machine["stateMachineArn"]),
        ("type", machine["type"].capitalize()),
        ("status", machine["status"]),
        ("revision", str(machine.get("revisionId", "-"))),
        ("age", age(format_timestamp(machine["creationDate"]), now)),
        ("comment", definition.get("Comment", "-")),
        ("states", ", ".join(definition["States"])),
    ]
    columns = [it for it in executions(now).columns if not it.wide]
    shown = columns_table(latest, columns) if latest else "no execution yet"
    return f"{_pairs(lines)}\n\n{shown}"


def show_execution(
    execution: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    now: datetime,
    width: int | None = None,
) -> str:
    """All about an execution: how it stands, what went in and came out, and its states.

    Input and output are cut where a line would have more than `width` characters.
    """
    why = ": ".join(str(execution[name]) for name in ("error", "cause") if execution.get(name))
    lines = [
        ("execution", execution["name"]),
        ("arn", execution["executionArn"]),
        ("status", execution["status"] + (f", {why}" if why else "")),
        ("started", f"{format_timestamp(execution['startDate'])}, took {_took(execution, now)}"),
        *(
            (name, _cut(execution.get(name, "-"), width and width - _LABEL_CHARACTERS))
            for name in ("input", "output")
        ),
    ]
    if execution.get("redriveCount"):
        count = execution["redriveCount"]
        lines.append(("redriven", f"{count} time{'s'[: count != 1]}"))
    states = _state_rows(visits(history), execution)
    shown = table(("STATE", "TYPE", "STANDS", "VISITS", "TRIES", "TOOK"), states)
    return f"{_pairs(lines)}\n\n{shown}" if states else _pairs(lines)


def _state_rows(found: Mapping[str, Visit], execution: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            name,
            visit.kind,
            _stands(visit, execution["status"]),
            str(visit.entered),
            str(visit.tries or "-"),
            _visit_took(visit),
        )
        for name, visit in found.items()
    ]


def _stands(visit: Visit, status: str) -> str:
    if visit.kind == "Fail":
        return "failed"
    if visit.entered > visit.exited:
        return "running" if status == "RUNNING" else "failed" if visit.failing else "ended"
    return "error caught" if visit.caught else "done"


def _visit_took(visit: Visit) -> str:
    if visit.exited_at is None or visit.entered_at is None:
        return "-"
    return duration(max(0.0, visit.exited_at - visit.entered_at))


def _pairs(lines: Sequence[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def history_table(history: Sequence[Mapping[str, Any]], width: int | None = None) -> str:
    """One line for each event, of at most `width` characters; times are since the first."""
    start = history[0]["timestamp"] if history else 0.0
    rows = [
        (
            str(event["id"]),
            str(event.get("previousEventId", 0)),
            f"+{event['timestamp'] - start:.3f} s",
            event["type"],
            told(event),
        )
        for event in history
    ]
    lines = table(("ID", "AFTER", "TIME", "EVENT", "DETAILS"), rows).splitlines()
    return "\n".join(_cut(line, width) for line in lines)


def event_line(event: Mapping[str, Any], start: float | None, width: int | None = None) -> str:
    """One event as a line of its own; times are since `start`."""
    since = event["timestamp"] - (event["timestamp"] if start is None else start)
    return _cut(f"+{since:.3f} s  {event['type']:<24} {told(event)}".rstrip(), width)


def told(event: Mapping[str, Any]) -> str:
    """The details of an event in a few words."""
    found = (event[name] for name in event if name.endswith("EventDetails"))
    details: Mapping[str, Any] = next(found, {})
    parts = [str(details["name"])] if "name" in details else []
    parts += [f"{name}={_short(value)}" for name, value in details.items() if name not in _NOT_TOLD]
    return " ".join(parts)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _cut(" ".join(text.split()), _LONGEST_CELL)


def _cut(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: max(0, width - 1)] + "…"


def by_name(machines: Iterable[Mapping[str, Any]], namespace: str) -> list[Mapping[str, Any]]:
    """The machines of a namespace ("": all) and those without one, by name."""
    kept = [
        item
        for item in machines
        if not namespace or item["name"].partition(".")[0] == namespace or "." not in item["name"]
    ]
    return sorted(kept, key=lambda item: str(item["name"]))
