"""An execution told while it goes on: one line each time that a state changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.cli.workflowshow import duration
from torpor.workflows.graph.visits import FAILURES, names_state

_STARTED, _EXECUTION = "Scheduled", "Execution"


class Narrator:
    """Takes the events in their order; `line` gives what is worth telling of each."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._at: dict[int, str] = {}
        self._entered: dict[str, float] = {}
        self._tries: dict[str, int] = {}

    def line(self, event: Mapping[str, Any]) -> str | None:
        """Return one event as a line, None when no state changed by it."""
        self._start = event["timestamp"] if self._start is None else self._start
        kind = str(event["type"])
        named = names_state(event)
        state = named or self._at.get(event.get("previousEventId") or 0, "")
        self._at[event["id"]] = state
        told = "" if kind.startswith(_EXECUTION) else self._told(kind, state, event)
        return f"+{event['timestamp'] - self._start:.3f} s  {told}" if told else None

    def _told(self, kind: str, state: str, event: Mapping[str, Any]) -> str:
        if kind.endswith("StateEntered"):
            self._entered[state], self._tries[state] = event["timestamp"], 0
            return f"▶ {state} ({kind.removesuffix('StateEntered')})"
        if kind.endswith("StateExited"):
            took = event["timestamp"] - self._entered.get(state, event["timestamp"])
            return f"✔ {state} after {duration(max(0.0, took))}"
        if kind.endswith(FAILURES):
            return f"✘ {state}{_why(event)}"
        if kind.endswith(_STARTED):
            self._tries[state] = self._tries.get(state, 0) + 1
            return f"↻ {state}, try {self._tries[state]}" if self._tries[state] > 1 else ""
        return ""


def _why(event: Mapping[str, Any]) -> str:
    found = (event[name] for name in event if name.endswith("EventDetails"))
    details: Mapping[str, Any] = next(found, {})
    why = ": ".join(str(details[name]) for name in ("error", "cause") if details.get(name))
    return f": {why}" if why else ""
