"""What is told of a Trigger: the status made from what the events role answered. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from torpor.resources.conditions import READY, RECONCILING, STALLED, Condition, Truth, merge
from torpor.resources.trigger import Trigger
from torpor.triggers.standings import Standing

INVALID_PATTERN = "InvalidPattern"
INVALID_EXPRESSION = "InvalidExpression"
INVALID_TRIGGER = "InvalidTrigger"
ROUTE_TAKEN = "RouteTaken"
QUEUE_TAKEN = "QueueTaken"
EVENTS_NOT_INSTALLED = "EventsNotInstalled"
EVENTS_AWAY = "EventsAway"
EVENTS_DROPPED = "EventsDropped"
TARGET_MISSING = "TargetMissing"
SUSPENDED = "Suspended"
NOT_SUBSCRIBED = "NotSubscribed"
SOURCE_MISCONFIGURED = "SourceMisconfigured"

MESSAGE_CHARACTERS = 32_000
"""A condition's message has at most 32,768; a long list of problems is cut."""
_COUNTS = ("lag", "deadLetters")


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a Trigger from being as its spec asks.

    `final` says that it lasts until a person changes something.
    """

    reason: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a Trigger: parsed, or None if it cannot be; and as the role has it."""

    trigger: Trigger | None
    standing: Standing | None
    problem: Problem | None


def problem_of(standing: Standing) -> Problem | None:
    """Return what the events role says is wrong with the subscription; None if nothing is."""
    if standing.subscribed:
        return None
    reason = standing.reason or NOT_SUBSCRIBED
    message = standing.message or "the subscription has not begun yet"
    return Problem(reason, message, final=reason == SOURCE_MISCONFIGURED)


def status(obj: Mapping[str, Any], seen: Seen, now: datetime) -> dict[str, Any]:
    """Return the whole status; equal to that of `obj` when there is nothing new to tell.

    Counts that are not known stay as they were told before.
    """
    previous = obj.get("status") or {}
    generation = int(obj["metadata"].get("generation", 0))
    found = {
        "observedGeneration": generation,
        **_described(seen.trigger),
        **_counts(seen.standing, previous),
        "conditions": merge(
            previous.get("conditions", ()), _conditions(seen.problem), now, generation
        ),
    }
    return {name: value for name, value in found.items() if value is not None}


def uncounted(standing: Standing) -> Standing:
    """Return how a Trigger stands without what moves all the time."""
    return replace(standing, lag=0, waiting=0, dead_letters=0, last_event_at=None)


def without_counts(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without what moves all the time."""
    return {name: value for name, value in told.items() if name not in _COUNTS}


def _described(trigger: Trigger | None) -> dict[str, Any]:
    if trigger is None:
        return {}
    return {
        "source": trigger.source.kind.value,
        "target": f"{trigger.target.kind.value}/{trigger.target.name}",
        "address": _address(trigger.source.settings) if trigger.source.kind == "http" else None,
    }


def _address(http: Mapping[str, Any]) -> str:
    host, path = http.get("host"), http.get("path") or "/"
    return f"http://{host}{path}" if host else str(path)


def _counts(standing: Standing | None, previous: Mapping[str, Any]) -> dict[str, Any]:
    if standing is None:
        return {name: previous.get(name) for name in _COUNTS}
    return {"lag": standing.lag + standing.waiting, "deadLetters": standing.dead_letters}


def _conditions(problem: Problem | None) -> Iterable[Condition]:
    if problem is None:
        return (
            Condition(READY, Truth.TRUE, "Subscribed", "events arrive and can be delivered"),
            Condition(RECONCILING, Truth.FALSE, "UpToDate", "the Trigger is in force"),
            Condition(STALLED, Truth.FALSE, "Progressing", "nothing waits for a person"),
        )
    message = problem.message
    if len(message) > MESSAGE_CHARACTERS:
        message = message[:MESSAGE_CHARACTERS] + " …"
    waits = problem.final or problem.reason == SUSPENDED
    return (
        Condition(READY, Truth.FALSE, problem.reason, message),
        Condition(RECONCILING, Truth.of(not waits), problem.reason, message),
        Condition(STALLED, Truth.of(problem.final), problem.reason, message),
    )
