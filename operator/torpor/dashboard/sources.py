"""What a dashboard is fed from: the parts of a snapshot, and what is asked for when opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torpor.dashboard.model import (
    EventSeen,
    ExecutionSeen,
    FunctionSeen,
    Json,
    TriggerSeen,
)
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey


class Away(TorporError):
    """A role that knows the answer does not give one; the message names it."""

    code = "role-away"


class NotThere(TorporError):
    """There is nothing of that name, or it is forgotten by now."""

    code = "not-found"


class NotPossible(TorporError):
    """The question makes no sense; the message says what would."""

    code = "bad-request"


class Sources(Protocol):
    """Tells of one place. Each method may raise Away; those with an argument NotThere too."""

    @property
    def place(self) -> str:
        """What is shown, in a few words."""
        ...

    async def functions(self) -> Sequence[FunctionSeen]:
        """Return every Function."""
        ...

    async def executions(self) -> Sequence[ExecutionSeen]:
        """Return the latest executions, the newest first."""
        ...

    async def runs(self) -> Sequence[Json]:
        """Return the latest runs, the newest first, each with its `traceId`."""
        ...

    async def triggers(self) -> Sequence[TriggerSeen]:
        """Return every Trigger."""
        ...

    async def bus(self) -> Sequence[EventSeen]:
        """Return the latest events of all buses, the newest first."""
        ...

    async def cost(self) -> Json | None:
        """Return what all of it costs; None where that is not known."""
        ...

    async def traces(self) -> Sequence[Json]:
        """Return the latest traces, the newest first, without their spans."""
        ...

    async def execution(self, arn: str) -> Json:
        """Return an execution with its graph and its history."""
        ...

    async def trace(self, trace_id: str) -> Json:
        """Return a trace as a tree."""
        ...

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        """Return `letters` of a Trigger from number `after` on, and `after` for those that follow.

        `after` is None behind the last one.
        """
        ...

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        """Deliver a stretch of dead letters again: `moved`, `left`, and `after` as above.

        `last` bounds it, so that none is sent twice which comes back: 0 at first, which is what is
        there now, then what the answer says.
        """
        ...

    async def compare(self, query: Mapping[str, str]) -> Json:
        """Compare what a load costs here and always on. NotPossible for a wrong question."""
        ...
