"""What is wrong with an event pattern, in EventBridge's words, all of it at once.

EventBridge and event-ruler stop at the first mistake and give a column; here every mistake is
found and each has its JSON path, since a Trigger is edited in a file and not in a console.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torpor.errors import TorporError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: `path` is a JSONPath such as `$.detail.state[0]`, `reason` is EventBridge's."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reason} at {self.path}"


class PatternError(TorporError, ValueError):
    """An event pattern that EventBridge would refuse; `problems` has at least one entry."""

    code = "invalid-event-pattern"

    def __init__(self, problems: Sequence[Problem]) -> None:
        reasons = "; ".join(map(str, problems))
        super().__init__(f"Event pattern is not valid. Reason: {reasons}")
        self.problems = tuple(problems)


class Refused(ValueError):
    """An entry that event-ruler would not compile; the message is its reason."""
