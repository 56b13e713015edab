"""One step of an execution: the moves on its frontier and history that everything else is made of.

A `Run` lives as long as one call of `advance`. It holds no clock and does no I/O: `outside` brings
the time and randomness of the step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torpor.expressions.values import ABSENT, Entropy
from torpor.workflows.asl.context import context_object
from torpor.workflows.asl.events import Cancel, End, HistoryEvent, Step
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import OUTSIDE, Frame, Frontier, Phase, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Program, State
from torpor.workflows.asl.scope import Json, Scope

VARIABLES_FACTOR = 40
"""AWS allows 10 MiB of variables in an execution, 256 KiB in a payload and in an Assign."""


class Outside(Entropy, Protocol):
    """What a step needs from outside: the time, randomness, and signed task tokens."""

    def task_token(self, frame: int, ticket: int) -> str:
        """The token that SendTask… calls name this wait of this execution by."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Quotas of a program's executions; None: no limit. Sizes in bytes of UTF-8 JSON text.

    `payload_bytes` is what one payload may hold, and the variables that one Assign sets. All
    variables of an execution together may hold `VARIABLES_FACTOR` times as much.
    """

    payload_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A branch or iteration is over: with the output of its last state, or failed."""

    child: Frame
    outcome: Payload | Fault


class Run:
    """The moves of one step.

    `ready` holds the frames that can go on at once, `ended` the child whose parent has to be told
    before any of them does.
    """

    __slots__ = ("ended", "frontier", "limits", "now", "outside", "program", "ready", "step")

    def __init__(
        self, program: Program, frontier: Frontier, outside: Outside, limits: Limits
    ) -> None:
        self.program = program
        self.frontier = frontier
        self.outside = outside
        self.limits = limits
        self.now = outside.now()
        self.ready: deque[Frame] = deque()
        self.ended: Ended | None = None
        self.step = Step([], [])

    def state_of(self, frame: Frame) -> State:
        """The state that a frame is in."""
        return self.program.blocks[frame.block].states[frame.state]

    def next_ready(self) -> Frame | None:
        """Take the next frame that can go on; one that was removed meanwhile is passed over."""
        while self.ready:
            frame = self.ready.popleft()
            if self.frontier.frames.get(frame.id) is frame:
                return frame
        return None

    def event(self, frame: Frame, type: str, details: dict[str, Any]) -> int:
        """Record a history event that follows the frame's last one; its id becomes the last."""
        id = frame.last_event = self.aside(frame, type, details)
        return id

    def aside(self, frame: Frame, type: str, details: dict[str, Any]) -> int:
        """Record a history event without moving the frame's place in the history."""
        return self.event_after(frame, frame.last_event, type, details)

    def event_after(self, frame: Frame, previous: int, type: str, details: dict[str, Any]) -> int:
        """Record a history event in a frame's log that follows the event `previous`."""
        log = frame.log
        id = log.next_id
        log.next_id = id + 1
        self.frontier.touched.add(log.owner)
        self.step.history.append(HistoryEvent(id, previous, type, self.now, details, log.scope))
        return id

    def wait(self, frame: Frame, phase: Phase, due: float | None) -> int:
        """Let a frame wait; returns the ticket that ends this wait."""
        ticket = self.ticket(frame)
        frame.phase = phase
        frame.due = due
        return ticket

    def ticket(self, frame: Frame) -> int:
        """A new ticket for a frame: whatever carries an older one is out of date."""
        ticket = frame.ticket = self.frontier.next_ticket
        self.frontier.next_ticket = ticket + 1
        self.frontier.touched.add(frame.id)
        return ticket

    def scope(
        self,
        frame: Frame,
        state: State,
        result: Json = ABSENT,
        error: Json = ABSENT,
        extra: Mapping[str, Json] | None = None,
    ) -> Scope:
        """What the state's expressions see; `extra` adds members to the context object."""
        context: Mapping[str, Json] = {}
        if state.uses_context:
            context = context_object(self.frontier, frame, state, extra)
        return Scope(
            frame.input.value, context, frame.scope_variables(), self.outside, result, error
        )

    def end(
        self, status: Status, output: Payload | None, error: str | None, cause: str | None
    ) -> None:
        """End the execution: nothing runs or waits any more.

        The frames of an execution that did not succeed stay, for a redrive.
        """
        frontier = self.frontier
        frontier.status, frontier.output = status, output
        frontier.error, frontier.cause = error, cause
        self.ready.clear()
        self.ended = None
        for frame in frontier.frames.values():
            self._halt(frame)
        self.step.effects.append(End(status, output, error, cause))

    def _halt(self, frame: Frame) -> None:
        """Stop whatever a frame waits for, so that only a redrive sets it going again."""
        self._abort_execution(frame)
        self.cancel(frame)
        if frame.phase not in (Phase.JOIN, Phase.READY):
            self.wait(frame, Phase.RETRY, None)

    def _abort_execution(self, frame: Frame) -> None:
        """Record the end of a Map Run's child that is stopped."""
        if frame.log.scope and frame.log.owner == frame.id:
            self.aside(frame, "ExecutionAborted", {})

    def cancel(self, frame: Frame) -> None:
        """Have what a frame waits for outside stopped."""
        if frame.phase in OUTSIDE:
            self.step.effects.append(Cancel(frame.id, frame.ticket))

    def remove(self, frame: Frame) -> None:
        """Take a frame out of the frontier."""
        del self.frontier.frames[frame.id]
        self.frontier.touched.add(frame.id)

    def prune(self, frame: Frame) -> None:
        """Remove everything below a frame, cancelling what runs there."""
        if frame.join is None:
            return
        frame.join = None
        for child in list(self.frontier.children(frame.id)):
            self.prune(child)
            self._abort_execution(child)
            self.cancel(child)
            self.remove(child)


def present(**details: Json) -> dict[str, Any]:
    """The details of an event without those that have no value."""
    return {name: value for name, value in details.items() if value is not None}
