"""Finds the tasks of an execution that wait for a token, with the tokens, in its history. Pure.

The history has the arguments of every scheduled task, and the token is in them wherever the
definition put it. A token is signed, not encrypted: it can be told from other text by the execution
that it names, which needs no key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torpor.workflows.graph.visits import state_of_events

_WORD = re.compile(r"[A-Za-z0-9_-]{40,}")
_CALLBACK = ".waitForTaskToken"
_ENDS = frozenset(f"Execution{word}" for word in ("Succeeded", "Failed", "TimedOut", "Aborted"))
_OVER = ("TaskSucceeded", "TaskFailed", "TaskTimedOut", "TaskStateExited", "TaskStateAborted")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that waits, and the token to answer it with."""

    state: str
    token: str


def waiting(history: Sequence[Mapping[str, Any]], execution: str) -> list[Waiting]:
    """The tasks that wait for a token, in the order they were scheduled."""
    states = state_of_events(history)
    before = {event["id"]: event.get("previousEventId", 0) for event in history}
    found: dict[int, Waiting] = {}
    for event in history:
        if event["type"] == "TaskScheduled":
            details = event.get("taskScheduledEventDetails") or {}
            token = _token(str(details.get("parameters", "")), execution)
            if token and _is_callback(details):
                found[event["id"]] = Waiting(states[event["id"]], token)
        elif event["type"] in _OVER:
            _drop(found, before, event["id"])
        elif event["type"] in _ENDS:
            found.clear()
    return list(found.values())


def _is_callback(details: Mapping[str, Any]) -> bool:
    return str(details.get("resource", "")).endswith(_CALLBACK)


def _drop(found: dict[int, Waiting], before: Mapping[int, int], event: int) -> None:
    """Forget the task that this event ended: the first one on the way back."""
    while event and event not in found:
        event = before.get(event, 0)
    found.pop(event, None)


def _token(text: str, execution: str) -> str | None:
    named = f".{execution}".encode()
    return next((word for word in _WORD.findall(text) if _decoded(word).endswith(named)), None)


def _decoded(word: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(word + "=" * (-len(word) % 4))
    except ValueError:
        return b""
