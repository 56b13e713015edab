"""One turn of an execution: the steps that its mail brings about, and what they cost.

Nothing here waits or writes, so that a turn can be taken on a thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torpor.expressions.work import MAX_STEP_WORK
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import (
    AskAgain,
    Effect,
    HistoryEvent,
    Input,
    ItemsRead,
    Redrive,
    Start,
    Step,
    TaskSucceeded,
)
from torpor.workflows.engine.mail import Mail
from torpor.workflows.engine.programs import Revision
from torpor.workflows.engine.resident import Resident
from torpor.workflows.records import Execution

BUDGET = 500
"""States entered in one step at most."""
_QUICK_WORK = 2_500
"""What a step may cost that is done between other work, in units of `work`: a few milliseconds."""
_QUICK_CHARACTERS = 16_384
"""How long the text of the data may be that such a step is given."""
_BEGINNINGS = ("ExecutionStarted", "ExecutionRedriven")


@dataclass(slots=True)
class Work:
    """What one turn of a resident brought about, of all the mail taken in."""

    history: list[HistoryEvent] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    consumed: list[int] = field(default_factory=list)
    events: list[Input] = field(default_factory=list)
    more: bool = False
    cost: int = 0
    transitions: int = 0

    @property
    def begins(self) -> bool:
        """Whether the execution began, or by a redrive began again, with this turn."""
        return any(event.type in _BEGINNINGS and not event.scope for event in self.history[:1])

    def add(self, step: Step) -> None:
        """Add one step."""
        self.history += step.history
        self.effects += step.effects
        self.more = self.more or step.more
        self.cost += step.work
        self.transitions += step.transitions


def take_turn(resident: Resident, taken: list[Mail]) -> Work:
    """Do the steps of as much of the mail as one turn has time for, at least of the first piece."""
    most = _QUICK_WORK if resident.quick else MAX_STEP_WORK
    work = Work()
    for mail in taken:
        if work.cost > most:
            break
        mail.opened(resident.arn, resident.frontier)
        for event in _in_order(resident, mail.event):
            budget = BUDGET if event is mail.event else 0
            work.add(
                advance(
                    resident.revision.program,
                    resident.frontier,
                    event,
                    resident.world,
                    resident.limits,
                    budget,
                    most,
                )
            )
        work.events.append(mail.event)
        if mail.posted is not None:
            work.consumed.append(mail.posted)
    work.more = work.more and resident.running
    resident.quick = resident.quick and work.cost <= _QUICK_WORK
    return work


def is_small(event: Input) -> bool:
    """Whether a quick step may be given an event."""
    if isinstance(event, TaskSucceeded):
        return len(event.output.text) <= _QUICK_CHARACTERS
    return not isinstance(event, AskAgain | ItemsRead | Redrive)


def starts_quick(execution: Execution, revision: Revision) -> bool:
    """Whether the steps of an execution that begins take little, until it has more data."""
    return revision.program.light and len(execution.input.text) <= _QUICK_CHARACTERS


def _in_order(resident: Resident, event: Input) -> tuple[Input, ...]:
    """An execution can be stopped while it waits for its place: then it starts only to end."""
    begun = bool(resident.frontier.frames) or not resident.running
    if isinstance(event, Start):
        return () if begun else (event,)
    return (event,) if begun else (Start(), event)
