"""What happened to an execution on its way to it, and what is told to who brought it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from torpor.workflows.asl.events import Input, TaskFailed, TaskSucceeded
from torpor.workflows.asl.frontier import Frame, Frontier, Phase, Status
from torpor.workflows.engine.base import TaskGone
from torpor.workflows.engine.tokens import TaskRef
from torpor.workflows.ledger.base import Fenced


@dataclass(slots=True)
class Mail:
    """Something that happened; `posted` is its id in the ledger's inbox when it came from there.

    `done` is set when its consequences are durable. `late` is whether it had none, an answer to a
    task being over when it was taken in the first time; None before that.
    """

    event: Input
    posted: int | None = None
    done: asyncio.Future[None] | None = None
    late: bool | None = None

    def opened(self, arn: str, frontier: Frontier) -> None:
        """It is taken in as the execution stands now; again only when the first time is undone."""
        if self.late is None:
            self.late = is_late(arn, frontier, self.event)


def is_waiting(frontier: Frontier, task: TaskRef) -> bool:
    """Whether a frontier waits for the answer of a task."""
    return waiting_frame(frontier, task) is not None


def waiting_frame(frontier: Frontier, task: TaskRef) -> Frame | None:
    """The frame that waits for the answer of a task, None when none does."""
    frame = frontier.frames.get(task.frame)
    if frontier.status is not Status.RUNNING or frame is None or frame.ticket != task.ticket:
        return None
    return frame if frame.phase in (Phase.TASK, Phase.TOKEN) else None


def is_late(arn: str, frontier: Frontier | None, event: Input) -> bool:
    """Whether an event answers a task that an execution does not wait for any more."""
    if not isinstance(event, TaskSucceeded | TaskFailed):
        return False
    task = TaskRef(arn, event.frame, event.ticket)
    return frontier is None or not is_waiting(frontier, task)


def acknowledge(mails: Iterable[Mail]) -> None:
    """Tell who waits for mail that its consequences are durable, or that it came too late."""
    for mail in mails:
        if mail.done is None or mail.done.done():
            continue
        if mail.late:
            mail.done.set_exception(too_late())
        else:
            mail.done.set_result(None)


def refuse(mails: Iterable[Mail]) -> None:
    """Tell who waits for mail that its consequences are not this process's to write."""
    for mail in mails:
        if mail.done is not None and not mail.done.done():
            mail.done.set_exception(Fenced("the execution moved to another engine"))


def too_late() -> TaskGone:
    """What who answers a task is told when another answer, or its time-out, came first."""
    return TaskGone("Task Timed Out: nobody waits for this task any more")
