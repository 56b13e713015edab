"""What a session knows of executions, without what it takes to run them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExecutionRow:
    """One execution at one moment, for people. `states` are those that it is in."""

    arn: str
    workflow: str
    name: str
    status: str
    states: tuple[str, ...]
    seconds: float
    error: str | None = None
