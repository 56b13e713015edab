"""An execution told while it goes on: one line each time that a state changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.cli.workflow.texts import duration
from torpor.workflows.graph.visits import FAILURES, names_state

_STARTED, _EXECUTION, _ITERATION = "Scheduled", "Execution", "MapIterationStarted"
Place = tuple[str, str]
"""A state's name, and the iterations that it is in: empty, or ` [1]`, ` [1] [0]`."""


class Narrator:
    """Takes the events in their order; `line` gives what is worth telling of each.

    A state inside a Map is told with the index of its iteration: `Pay [17]`.
    """

    def __init__(self) -> None:
        self._start: float | None = None
        self._at: dict[int, Place] = {0: ("", "")}
        self._entered: dict[Place, float] = {}
        self._tries: dict[Place, int] = {}

    def line(self, event: Mapping[str, Any]) -> str | None:
        """Return one event as a line, None when no state changed by it."""
        self._start = event["timestamp"] if self._start is None else self._start
        kind = str(event["type"])
        place = self._at[event["id"]] = self._place(kind, event)
        told = "" if kind.startswith(_EXECUTION) else self._told(kind, place, event)
        return f"+{event['timestamp'] - self._start:.3f} s  {told}" if told else None

    def _place(self, kind: str, event: Mapping[str, Any]) -> Place:
        """The state that an event is about, and in which iterations of which Maps it is."""
        before, within = self._at.get(event.get("previousEventId") or 0, ("", ""))
        if kind == _ITERATION:
            return before, f"{within} [{event['mapIterationStartedEventDetails']['index']}]"
        state = names_state(event) or before
        if kind.endswith("StateExited"):
            while within and (state, within) not in self._entered:  # a Map ends by its last one
                within = within.rpartition(" [")[0]
        return state, within

    def _told(self, kind: str, place: Place, event: Mapping[str, Any]) -> str:
        name = "".join(place)
        if kind.endswith("StateEntered"):
            self._entered[place], self._tries[place] = event["timestamp"], 0
            return f"▶ {name} ({kind.removesuffix('StateEntered')})"
        if kind.endswith("StateExited"):
            took = event["timestamp"] - self._entered.pop(place, event["timestamp"])
            return f"✔ {name} after {duration(max(0.0, took))}"
        if kind.endswith(FAILURES):
            return f"✘ {name}{_why(event)}"
        if kind.endswith(_STARTED):
            self._tries[place] = self._tries.get(place, 0) + 1
            return f"↻ {name}, try {self._tries[place]}" if self._tries[place] > 1 else ""
        return ""


def _why(event: Mapping[str, Any]) -> str:
    found = (event[name] for name in event if name.endswith("EventDetails"))
    details: Mapping[str, Any] = next(found, {})
    why = ": ".join(str(details[name]) for name in ("error", "cause") if details.get(name))
    return f": {why}" if why else ""
