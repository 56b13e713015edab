"""One execution in memory: where it stands, and its mail.

Mail is taken in one piece after another by whoever drives the resident (`driving`), so that nothing
else ever changes the frontier.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from torpor.workflows.asl.events import HistoryEvent
from torpor.workflows.asl.frontier import Frontier, Identity, Status
from torpor.workflows.asl.run import Limits
from torpor.workflows.engine.attempts import Attempts
from torpor.workflows.engine.mail import Mail, is_waiting
from torpor.workflows.engine.programs import Revision
from torpor.workflows.engine.tokens import TaskRef
from torpor.workflows.engine.world import World
from torpor.workflows.ledger.base import Owned
from torpor.workflows.records import Execution


@dataclass(slots=True, eq=False)
class Resident:
    """An execution that this process runs. `owned` is None for an express one, never stored."""

    execution: Execution
    revision: Revision
    frontier: Frontier
    world: World
    owned: Owned | None
    lane: str
    mail: deque[Mail] = field(default_factory=deque)
    driving: bool = False
    gone: bool = False
    """Not this process's any more: whatever is under way for it is dropped."""
    ended: asyncio.Future[Execution] | None = None
    quick: bool = False
    """Its steps take a few milliseconds at most: they are done between other work."""
    attempts: Attempts | None = None
    """What is under way, for its spans; None where no traces are told."""
    unanswered: Sequence[HistoryEvent] = ()
    """What the last commit was to write, until it is known whether it did."""

    @property
    def arn(self) -> str:
        """The execution's ARN."""
        return self.execution.arn

    @property
    def limits(self) -> Limits:
        """The quotas of the machine."""
        return Limits(self.revision.machine.options.payload_bytes)

    @property
    def running(self) -> bool:
        """Whether the execution has not ended."""
        return self.frontier.status is Status.RUNNING

    def waits_for(self, task: TaskRef) -> bool:
        """Whether this wait of a frame is still open."""
        return is_waiting(self.frontier, task)


def fresh_frontier(execution: Execution, revision: Revision) -> Frontier:
    """The frontier of an execution before its first step."""
    machine = revision.machine
    return Frontier(
        Identity(
            execution.arn,
            execution.name,
            machine.role_arn,
            execution.machine_arn,
            machine.name,
            execution.started_at,
            execution.input,
        )
    )
