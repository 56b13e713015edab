"""What is told of a Workflow: the status made from what the engine answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from torpor.resources.conditions import (
    READY,
    RECONCILING,
    STALLED,
    Condition,
    Problem,
    Truth,
    merge,
)
from torpor.workflows.asl.frontier import Status
from torpor.workflows.machines import Standing

INVALID_DEFINITION = "InvalidDefinition"
ENGINE_NOT_INSTALLED = "EngineNotInstalled"
ENGINE_AWAY = "EngineAway"
EARLIER_ONE_ENDS = "EarlierOneEnds"
ACCEPTED = "Accepted"

MESSAGE_CHARACTERS = 32_000
"""A condition's message has at most 32,768; a long list of problems is cut."""


def status(
    obj: Mapping[str, Any], standing: Standing | None, problem: Problem | None, now: datetime
) -> dict[str, Any]:
    """Return the whole status; equal to that of `obj` when there is nothing new to tell.

    `standing` is the machine as the engine has it, None when that is not known: then what was told
    of it before stays.
    """
    previous = obj.get("status") or {}
    generation = int(obj["metadata"].get("generation", 0))
    told = _told(standing) if standing else {name: previous.get(name) for name in _OF_MACHINE}
    conditions = _conditions(problem, told)
    found = {
        "observedGeneration": generation,
        **told,
        "conditions": merge(previous.get("conditions", ()), conditions, now, generation),
    }
    return {name: value for name, value in found.items() if value is not None}


_OF_MACHINE = ("arn", "revision", "executions")


def _told(standing: Standing) -> dict[str, Any]:
    def ended(*which: Status) -> int:
        return sum(standing.counts.get(item, 0) for item in which)

    return {
        "arn": standing.arn,
        "revision": standing.revision,
        "executions": {
            "running": ended(Status.RUNNING),
            "succeeded": ended(Status.SUCCEEDED),
            "failed": ended(Status.FAILED, Status.TIMED_OUT),
            "aborted": ended(Status.ABORTED),
        },
    }


def _conditions(problem: Problem | None, told: Mapping[str, Any]) -> Iterable[Condition]:
    if problem is None:
        return (
            Condition(READY, Truth.TRUE, ACCEPTED, "the definition takes executions"),
            Condition(RECONCILING, Truth.FALSE, "UpToDate", "the engine has this definition"),
            Condition(STALLED, Truth.FALSE, "Progressing", "nothing waits for a person"),
        )
    message = _cut(problem.message, told.get("revision"))
    return (
        Condition(READY, Truth.FALSE, problem.reason, message),
        Condition(RECONCILING, Truth.of(not problem.final), problem.reason, message),
        Condition(STALLED, Truth.of(problem.final), problem.reason, message),
    )


def _cut(message: str, revision: str | None) -> str:
    kept = f"; revision {revision} stays in force" if revision else ""
    if len(message) > MESSAGE_CHARACTERS:
        message = message[:MESSAGE_CHARACTERS] + " …"
    return message + kept
