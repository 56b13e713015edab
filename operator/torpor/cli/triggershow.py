"""Triggers, dead letters and trials as text for people. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from torpor.cli.output import Column, Kind, age, object_name
from torpor.platform.kubernetes.resources import TRIGGERS
from torpor.resources.conditions import READY

_LONGEST_CELL = 60


def kind(now: datetime, *, everywhere: bool) -> Kind:
    """Return how Triggers are listed."""
    columns = (
        Column("NAME", lambda obj: str(obj["metadata"]["name"])),
        Column("READY", _readiness),
        Column("SOURCE", lambda obj: _source(obj["spec"]["source"])),
        Column("TARGET", lambda obj: _target(obj["spec"]["target"])),
        Column("LAG", lambda obj: str(_status(obj).get("lag", "-"))),
        Column("DEAD", lambda obj: str(_status(obj).get("deadLetters", "-"))),
        Column("AGE", lambda obj: age(obj["metadata"].get("creationTimestamp"), now)),
        Column("WHY", lambda obj: _short(str(_ready(obj).get("message", "-"))), wide=True),
    )
    spread = (Column("NAMESPACE", lambda obj: str(obj["metadata"]["namespace"])),)
    return Kind(name_of, (*(spread if everywhere else ()), *columns))


def name_of(obj: Mapping[str, Any]) -> str:
    """Return a Trigger's name as `-o name` prints it."""
    return object_name(TRIGGERS.plural, obj["metadata"]["name"])


def show(obj: Mapping[str, Any], now: datetime) -> str:
    """Return all about one Trigger."""
    meta, spec, status = obj["metadata"], obj["spec"], _status(obj)
    ready = _ready(obj)
    lines = [
        f"{meta['namespace']}/{meta['name']}",
        f"ready         {ready.get('status', 'Unknown')}  {ready.get('reason', '')}".rstrip(),
        f"source        {_source(spec['source'])}",
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


def letters(now: datetime) -> Kind:
    """Return how dead letters are listed; their name is their number."""
    columns = (
        Column("NUMBER", lambda letter: str(letter["seq"])),
        Column("TRIGGER", lambda letter: str(letter["trigger"])),
        Column("EVENT", _id),
        Column("ATTEMPTS", lambda letter: str(letter["attempts"])),
        Column("STATUS", lambda letter: str(letter["status"] or "-")),
        Column("AGE", lambda letter: age(_moment(letter["buriedSeconds"]), now)),
        Column("TARGET", lambda letter: str(letter["target"]), wide=True),
        Column("ERROR", lambda letter: _short(letter["error"])),
    )
    return Kind(lambda letter: str(letter["seq"]), columns)


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


FINDINGS = Kind(
    lambda finding: object_name(TRIGGERS.plural, finding["trigger"].rpartition("/")[2]),
    (
        Column("TRIGGER", lambda finding: str(finding["trigger"])),
        Column("FINDING", lambda finding: str(finding["finding"])),
        Column("DETAIL", lambda finding: str(finding["detail"])),
    ),
)
"""How the findings of an audit are listed."""


def _status(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    return obj.get("status") or {}


def _readiness(obj: Mapping[str, Any]) -> str:
    ready = _ready(obj)
    word = str(ready.get("status", "Unknown"))
    return word if word == "True" else f"{word} ({ready.get('reason', 'not seen yet')})"


def _ready(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = _status(obj).get("conditions") or ()
    return next((each for each in conditions if each["type"] == READY), {})


def _source(source: Mapping[str, Any]) -> str:
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
