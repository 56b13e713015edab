"""Runs a definition to its end in virtual time: the pure engine with the world played in memory.

Timers fire in order of their due time and cost nothing; tasks are answered by a `Worker`.
"""

from __future__ import annotations

import heapq
import itertools
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import (
    Continue,
    Dispatch,
    End,
    HistoryEvent,
    Input,
    Start,
    TaskFailed,
    TaskSucceeded,
    TimedOut,
    TimerFired,
)
from torpor.workflows.asl.frontier import Frontier, Identity, Phase, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.run import Limits

ACCOUNT = "arn:aws:states:us-east-1:111111111111"
QUOTA = Limits(payload_bytes=262_144)


@dataclass
class Answer:
    """What a task came to: an output, or an error; `seconds` of virtual time later."""

    output: Any = None
    error: str | None = None
    cause: str | None = None
    seconds: float = 0.0
    failed: bool = False


Worker = Callable[[Dispatch], Answer | None]


class VirtualWorld:
    """Time, randomness and tokens of a test, the same in every run."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.time = start
        self._random = random.Random(7)

    def now(self) -> float:
        """The virtual time."""
        return self.time

    def uuid(self) -> str:
        """A reproducible UUID."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def random(self) -> float:
        """A reproducible random number."""
        return self._random.random()

    def task_token(self, frame: int, ticket: int) -> str:
        """A readable token."""
        return f"token/{frame}/{ticket}"


@dataclass
class Outcome:
    """The end of an execution and all that led to it."""

    status: Status
    output: Any
    error: str | None
    cause: str | None
    history: list[HistoryEvent]
    calls: list[Dispatch] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    most_in_flight: int = 0


class Player:
    """Plays one execution against a worker."""

    def __init__(
        self,
        definition: Mapping[str, Any],
        worker: Worker,
        *,
        limits: Limits = QUOTA,
        name: str = "execution",
        budget: int = 1_000,
    ) -> None:
        self.program = compile_program(definition)
        self.world = VirtualWorld()
        self.worker = worker
        self.limits = limits
        self.name = name
        self.budget = budget
        self.history: list[HistoryEvent] = []
        self.calls: list[Dispatch] = []
        self.waits: list[float] = []
        self._queue: list[tuple[float, int, Input]] = []
        self._order = itertools.count()
        self.in_flight: set[tuple[int, int]] = set()
        self.most_in_flight = 0
        self.steps = 0

    def run(self, input: Any, most_steps: int = 100_000) -> Outcome:
        """Run with an input until the end, or until nothing can happen any more."""
        payload = Payload(input)
        identity = Identity(
            f"{ACCOUNT}:execution:machine:{self.name}",
            self.name,
            "snf_role_arn",
            f"{ACCOUNT}:stateMachine:machine",
            "machine",
            self.world.now(),
            payload,
        )
        self.frontier = Frontier(identity)
        self._send(Start())
        if self.frontier.deadline is not None:
            self._push(self.frontier.deadline, TimedOut())
        while self._queue and self.frontier.status is Status.RUNNING and self.steps < most_steps:
            self.world.time, _, event = heapq.heappop(self._queue)
            self._send(event)
        end = self.frontier
        output = None if end.output is None else end.output.value
        return Outcome(
            end.status,
            output,
            end.error,
            end.cause,
            self.history,
            self.calls,
            self.waits,
            self.most_in_flight,
        )

    def _push(self, due: float, event: Input) -> None:
        heapq.heappush(self._queue, (max(due, self.world.time), next(self._order), event))

    def _send(self, event: Input) -> None:
        if isinstance(event, TaskSucceeded | TaskFailed):
            self.in_flight.discard((event.frame, event.ticket))
        before = {frame.id: frame.ticket for frame in self.frontier.frames.values()}
        step = advance(self.program, self.frontier, event, self.world, self.limits, self.budget)
        self.steps += 1
        self.history.extend(step.history)
        for frame in self.frontier.frames.values():
            if frame.due is not None and before.get(frame.id) != frame.ticket:
                self._push(frame.due, TimerFired(frame.id, frame.ticket))
                if frame.phase is Phase.RETRY:
                    self.waits.append(frame.due - self.world.time)
        for effect in step.effects:
            if isinstance(effect, Dispatch):
                self._dispatch(effect)
            elif isinstance(effect, End):
                self._queue.clear()
        if step.more:
            self._push(self.world.time, Continue())

    def _dispatch(self, dispatch: Dispatch) -> None:
        self.calls.append(dispatch)
        self.in_flight.add((dispatch.frame, dispatch.ticket))
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        answer = self.worker(dispatch)
        if answer is None:
            return
        due = self.world.time + answer.seconds
        if answer.failed:
            self._push(due, TaskFailed(dispatch.frame, dispatch.ticket, answer.error, answer.cause))
        else:
            self._push(due, TaskSucceeded(dispatch.frame, dispatch.ticket, Payload(answer.output)))


def no_worker(dispatch: Dispatch) -> Answer:
    """For definitions that have no tasks."""
    raise AssertionError(f"unexpected task {dispatch.resource.text}")
