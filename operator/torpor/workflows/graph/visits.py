"""What an execution did with each state, read from the events of GetExecutionHistory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from torpor.workflows.asl.scope import Json

FAILURES = ("Failed", "TimedOut")
_ENDS = frozenset(f"Execution{word}" for word in ("Succeeded", "Failed", "TimedOut", "Aborted"))


class Look(StrEnum):
    """How a state stands in an execution."""

    SUCCEEDED = "succeeded"
    CAUGHT = "caught"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(slots=True)
class Visit:
    """How often a state was entered and left, and how the last error in it went on.

    `tries` counts the tasks that were scheduled; `entered_at` and `exited_at` are the last ones, as
    the events give them.
    """

    kind: str
    entered: int = 0
    exited: int = 0
    tries: int = 0
    caught: bool = False
    failing: bool = False
    entered_at: Json = None
    exited_at: Json = None


def visits(history: Iterable[Mapping[str, Json]]) -> dict[str, Visit]:
    """Every state that was entered, in the order of its first entry; events oldest first."""
    found: dict[str, Visit] = {}
    events = list(history)
    at = state_of_events(events)
    for event in events:
        kind = str(event["type"])
        name = at[event["id"]]
        if name:
            visit = found.setdefault(name, Visit(_kind(kind)))
            _note(visit, kind, event)
    return found


def _kind(event: str) -> str:
    return event.removesuffix("StateEntered") if event.endswith("StateEntered") else "-"


def state_of_events(history: Iterable[Mapping[str, Json]]) -> dict[int, str]:
    """The state that each event is about, by the event's id; empty for those of the execution."""
    at: dict[int, str] = {}
    for event in history:
        before = at.get(event.get("previousEventId") or 0, "")
        about = "" if event["type"] in _ENDS else before
        at[event["id"]] = names_state(event) or about
    return at


def _note(visit: Visit, kind: str, event: Mapping[str, Json]) -> None:
    if kind.endswith("StateEntered"):
        visit.entered += 1
        visit.entered_at, visit.exited_at, visit.tries = event.get("timestamp"), None, 0
        visit.failing = visit.caught = False
    elif kind.endswith("StateExited"):
        visit.exited += 1
        visit.exited_at, visit.caught, visit.failing = event.get("timestamp"), visit.failing, False
    elif kind.endswith("Scheduled"):
        visit.tries += 1
        visit.failing = False
    elif kind.endswith("Succeeded"):
        visit.failing = False
    elif kind.endswith(FAILURES):
        visit.failing = True


def looks(history: Iterable[Mapping[str, Json]]) -> dict[str, Look]:
    """How every state that was entered stands, for colouring it."""
    events = list(history)
    over = any(event["type"] in _ENDS for event in events[-1:])
    return {name: _look(visit, over=over) for name, visit in visits(events).items()}


def _look(visit: Visit, *, over: bool) -> Look:
    if visit.entered > visit.exited:
        return Look.FAILED if over else Look.RUNNING
    return Look.CAUGHT if visit.caught else Look.SUCCEEDED


def names_state(event: Mapping[str, Json]) -> str:
    """The name of the state that an event enters or leaves; empty for other events."""
    details = event.get("stateEnteredEventDetails") or event.get("stateExitedEventDetails") or {}
    return str(details.get("name", ""))
