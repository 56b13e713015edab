"""Triggers, dead letters and trials as text for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from torpor.cli.output import age, table
from torpor.resources.conditions import READY

_LONGEST_CELL = 60


def list_table(objects: Sequence[Mapping[str, Any]], now: datetime, spread: str) -> str:
    """Return one line for each Trigger; `spread` is NAMESPACE where they are of several, or ""."""
    header = ("NAME", "READY", "SOURCE", "TARGET", "LAG", "DEAD", "AGE")
    rows = [_row(obj, now) for obj in objects]
    if not spread:
        return table(header, rows)
    own = [obj["metadata"]["namespace"] for obj in objects]
    return table((spread, *header), [(name, *row) for name, row in zip(own, rows, strict=True)])


def show(obj: Mapping[str, Any], now: datetime) -> str:
    """Return all about one Trigger."""
    meta, spec, status = obj["metadata"], obj["spec"], obj.get("status") or {}
    ready = _ready(obj)
    lines = [
        f"{meta['namespace']}/{meta['name']}",
        f"ready         {ready.get('status', 'Unknown')}  {ready.get('reason', '')}".rstrip(),
        f"source        {_kind(spec['source'])}",
        f"target        {_target(spec['target'])}",
        f"lag           {status.get('lag', '-')}",
        f"dead letters  {status.get('deadLetters', '-')}",
        f"age           {age(meta.get('creationTimestamp'), now)}",
    ]
    if ready.get("status") != "True" and ready.get("message"):
        lines.insert(2, f"why           {ready['message']}")
    if status.get("address"):
        lines.append(f"address       {status['address']}")
    return "\n".join([*lines, "", yaml.safe_dump(spec, sort_keys=False).rstrip()])


def letters_table(letters: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """Return one line for each dead letter."""
    rows = [
        (
            str(letter["seq"]),
            letter["trigger"],
            _id(letter),
            str(letter["attempts"]),
            str(letter["status"] or "-"),
            age(_moment(letter["buriedSeconds"]), now),
            _short(letter["error"]),
        )
        for letter in letters
    ]
    return table(("NUMBER", "TRIGGER", "EVENT", "ATTEMPTS", "STATUS", "AGE", "ERROR"), rows)


def show_letter(letter: Mapping[str, Any]) -> str:
    """Return all about one dead letter."""
    lines = [
        f"number    {letter['seq']}",
        f"trigger   {letter['trigger']}",
        f"target    {letter['target']}",
        f"error     {letter['error']}",
        f"attempts  {letter['attempts']}",
        f"given up  {_moment(letter['buriedSeconds'])}",
    ]
    if letter["trace"]:
        lines.append(f"trace     {letter['trace']}")
    if letter["event"] is not None:
        return "\n".join([*lines, "", json.dumps(letter["event"], indent=2, ensure_ascii=False)])
    about = json.dumps(letter["attributes"], indent=2, ensure_ascii=False)
    return "\n".join([*lines, "", f"no event; its bytes in base64: {letter['raw']}", about])


def show_trial(trial: Mapping[str, Any]) -> str:
    """Return what would become of an event."""
    if not trial["matches"]:
        return f"it does not match: {trial['target']} is sent nothing"
    lines = [f"it matches: {trial['target']} is sent"]
    if trial.get("partition") is not None:
        lines.append(f"(in order, partition {trial['partition']})")
    if trial.get("error"):
        return f"it matches, but the transform fails: {trial['error']}"
    lines += [f"{name}: {value}" for name, value in (trial.get("headers") or {}).items()]
    body = json.dumps(trial["sent"], indent=2, ensure_ascii=False)
    return "\n".join([*lines, "", body] if trial.get("headers") else [*lines, body])


def findings_table(findings: Sequence[Mapping[str, str]]) -> str:
    """Return one line for each finding of an audit."""
    rows = [(each["trigger"], each["finding"], each["detail"]) for each in findings]
    return table(("TRIGGER", "FINDING", "DETAIL"), rows)


def _row(obj: Mapping[str, Any], now: datetime) -> tuple[str, ...]:
    meta, status, ready = obj["metadata"], obj.get("status") or {}, _ready(obj)
    word = ready.get("status", "Unknown")
    return (
        meta["name"],
        word if word == "True" else f"{word} ({ready.get('reason', 'not seen yet')})",
        _kind(obj["spec"]["source"]),
        _target(obj["spec"]["target"]),
        str(status.get("lag", "-")),
        str(status.get("deadLetters", "-")),
        age(meta.get("creationTimestamp"), now),
    )


def _ready(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == READY), {})


def _kind(source: Mapping[str, Any]) -> str:
    return next(iter(source), "-")


def _target(target: Mapping[str, Any]) -> str:
    return next((f"{kind}/{each['name']}" for kind, each in target.items()), "-")


def _id(letter: Mapping[str, Any]) -> str:
    return _short(str(letter["event"]["id"])) if letter["event"] else "(no event)"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CELL else line[: _LONGEST_CELL - 1] + "…"
