"""What the page shows, as values and as the JSON that they become. Pure.

Times are seconds since 1970. Lists and texts are bounded here, so that no source can flood a
browser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from typing import Any

Json = Mapping[str, Any]

MOST_FUNCTIONS = 1000
MOST_TRIGGERS = 1000
MOST_LISTED = 50
"""Of executions, runs, events and traces: the latest."""
MOST_COLD_STARTS = 5
"""Of one Function: the latest, the last one first."""
MOST_ITEMS = 1000
"""Of the bill: the dearest."""
MOST_CHARACTERS = 500
"""Of one text, such as a condition's message or the id of an event, which others write."""
CUT = "…"
"""Stands where something was left out."""


class FunctionState(StrEnum):
    """What a Function does."""

    ZERO = "zero"
    WAKING = "waking"
    READY = "ready"
    PAUSED = "paused"
    FAILING = "failing"
    JOB = "job"


@dataclass(frozen=True, slots=True)
class ColdStarted:
    """One wake from zero: milliseconds, and how many of them each phase took."""

    total_ms: float
    phases: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FunctionSeen:
    """One Function. `wanted` replicas are aimed at; `requests` is a count since some beginning."""

    namespace: str
    name: str
    workload: str
    state: FunctionState
    replicas: int = 0
    ready: int = 0
    wanted: int = 0
    in_flight: int = 0
    queued: int = 0
    held: int = 0
    requests: int = 0
    reason: str = ""
    cold_starts: Sequence[ColdStarted] = ()


@dataclass(frozen=True, slots=True)
class ExecutionSeen:
    """One execution; `states` are those that it is in while it runs."""

    arn: str
    workflow: str
    name: str
    status: str
    states: Sequence[str]
    started_at: float
    seconds: float
    error: str | None
    trace_id: str


class TriggerState(StrEnum):
    """How a Trigger stands."""

    READY = "ready"
    STARTING = "starting"
    PAUSED = "paused"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class TriggerSeen:
    """One Trigger: `source` and `target` as `kind/name`, the rest as its role has it.

    `lag` counts events that are or could be delivered, `waiting` those tried again later.
    """

    namespace: str
    name: str
    source: str
    target: str
    state: TriggerState
    message: str
    lag: int
    waiting: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class EventSeen:
    """One event of a bus, without its data."""

    bus: str
    id: str
    source: str
    type: str
    subject: str
    time: float
    trace_id: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment. `problem` says which part is as it was before, and why.

    Runs, the bill and traces come as JSON already: `resources.run`, `telemetry.cost` and
    `telemetry.spanstore` say what is in them.
    """

    at: float
    place: str
    problem: str = ""
    functions: Sequence[FunctionSeen] = ()
    executions: Sequence[ExecutionSeen] = ()
    runs: Sequence[Json] = ()
    triggers: Sequence[TriggerSeen] = ()
    bus: Sequence[EventSeen] = ()
    cost: Json | None = None
    traces: Sequence[Json] = ()


def to_json(value: Any) -> Any:
    """Return a value of this module as JSON's types, its names in camelCase, long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= MOST_CHARACTERS else value[: MOST_CHARACTERS - 1] + CUT
    if isinstance(value, int | float) or value is None:
        return value
    if isinstance(value, Mapping):  # given as JSON already
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return {told: to_json(getattr(value, name)) for name, told in _names(value.__class__)}


@cache
def _names(kind: type) -> tuple[tuple[str, str], ...]:
    """The fields of a class, and what each is called in JSON."""
    return tuple((item.name, _camel(item.name)) for item in fields(kind))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
