"""What a session knows of executions, without what it takes to run them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torpor.resources.names import FunctionKey

if TYPE_CHECKING:
    from torpor.dev.workflows import LocalWorkflow


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


class Executions(Protocol):
    """The engine of a session; `LocalEngine` is one."""

    @property
    def rows(self) -> Sequence[ExecutionRow]:
        """The latest executions, newest first."""

    def greeting(self) -> Iterator[str]:
        """How to reach the engine, in lines for the person at the terminal."""

    def abandon(self) -> None:
        """End now, and wait for no task."""

    async def follow(self, workflows: Mapping[FunctionKey, LocalWorkflow]) -> None:
        """Have these Workflows and no others."""
