"""Runs a definition to its end in virtual time: the pure machine with the world played in memory.

Timers fire in order of their due time and cost nothing; tasks are answered by a `Worker`, the items
and results of distributed Maps by a `Store`.
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
    Effect,
    End,
    HistoryEvent,
    Input,
    ItemsRead,
    ReadItems,
    ResultsWritten,
    Start,
    Step,
    Stop,
    TaskFailed,
    TaskSucceeded,
    TimedOut,
    TimerFired,
    WriteResults,
)
from torpor.workflows.asl.frontier import Frontier, Identity, Phase, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.run import Limits

ACCOUNT = "arn:aws:states:us-east-1:111111111111"
NO_INPUT: Mapping[str, Any] = {}
QUOTA = Limits(payload_bytes=262_144)


@dataclass(frozen=True)
class Answer:
    """What a task came to: an output, or an error; `seconds` of virtual time later."""

    output: Any = None
    error: str | None = None
    cause: str | None = None
    seconds: float = 0.0
    failed: bool = False


Worker = Callable[[Dispatch], Answer | None]
Store = Callable[[ReadItems | WriteResults], Answer]


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


@dataclass(frozen=True)
class Outcome:
    """The end of an execution and all that led to it."""

    status: Status
    output: Any
    error: str | None
    cause: str | None
    all_history: list[HistoryEvent]
    calls: list[Dispatch] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    most_in_flight: int = 0

    @property
    def history(self) -> list[HistoryEvent]:
        """The execution's own history, without that of a Map Run's children."""
        return [event for event in self.all_history if not event.scope]

    @property
    def types(self) -> list[str]:
        """The types of the execution's own history events."""
        return [event.type for event in self.history]


def no_worker(dispatch: Dispatch) -> Answer:
    """For definitions that have no tasks."""
    raise AssertionError(f"unexpected task {dispatch.resource.text}")


def no_store(request: ReadItems | WriteResults) -> Answer:
    """For definitions that read and write nothing."""
    raise AssertionError(f"unexpected {request}")


class Player:
    """Plays one execution against a worker."""

    def __init__(
        self,
        definition: Mapping[str, Any],
        worker: Worker = no_worker,
        *,
        store: Store = no_store,
        limits: Limits = QUOTA,
        name: str = "execution",
        budget: int = 1_000,
    ) -> None:
        self.program = compile_program(definition)
        self.world = VirtualWorld()
        self.worker = worker
        self.store = store
        self.limits = limits
        self.name = name
        self.budget = budget
        self.frontier: Frontier
        self.all_history: list[HistoryEvent] = []
        self.calls: list[Dispatch] = []
        self.waits: list[float] = []
        self.most_in_flight = 0
        self.in_flight: set[tuple[int, int]] = set()
        self._queue: list[tuple[float, int, Input]] = []
        self._order = itertools.count()

    def run(self, input: Any = NO_INPUT) -> Outcome:
        """Run with an input until the end, or until nothing can happen any more."""
        self.begin(input)
        return self.play()

    def begin(self, input: Any = NO_INPUT) -> None:
        """Start the execution: its first step."""
        identity = Identity(
            f"{ACCOUNT}:execution:machine:{self.name}",
            self.name,
            "snf_role_arn",
            f"{ACCOUNT}:stateMachine:machine",
            "machine",
            self.world.now(),
            Payload(input),
        )
        self.frontier = Frontier(identity)
        self.send(Start())
        if self.frontier.deadline is not None:
            self.later(self.frontier.deadline, TimedOut())

    def play(self, until: float = float("inf")) -> Outcome:
        """Go on from where the execution stands, at most to a moment of virtual time."""
        running = Status.RUNNING
        while self._queue and self.frontier.status is running and self._queue[0][0] <= until:
            self.world.time, _, event = heapq.heappop(self._queue)
            self.send(event)
        return self.outcome()

    def stop(self, error: str | None = None, cause: str | None = None) -> Outcome:
        """Stop the execution (StopExecution)."""
        self.send(Stop(error, cause))
        return self.outcome()

    def outcome(self) -> Outcome:
        """How the execution stands."""
        end = self.frontier
        return Outcome(
            end.status,
            None if end.output is None else end.output.value,
            end.error,
            end.cause,
            self.all_history,
            self.calls,
            self.waits,
            self.most_in_flight,
        )

    def later(self, due: float, event: Input) -> None:
        """Have an event happen at a moment of virtual time."""
        heapq.heappush(self._queue, (max(due, self.world.time), next(self._order), event))

    def step(self, event: Input) -> Step:
        """One call of the machine."""
        return advance(self.program, self.frontier, event, self.world, self.limits, self.budget)

    def send(self, event: Input) -> None:
        """Give the machine one event, and carry out what comes of it."""
        if isinstance(event, TaskSucceeded | TaskFailed):
            self.in_flight.discard((event.frame, event.ticket))
        while self._sent(event):
            event = Continue()

    def _sent(self, event: Input) -> bool:
        """One step with all that follows from it; whether the machine wants to go on at once."""
        before = {frame.id: (frame.ticket, frame.due) for frame in self.frontier.frames.values()}
        step = self.step(event)
        self.all_history.extend(step.history)
        for frame in self.frontier.frames.values():
            if frame.due is not None and before.get(frame.id) != (frame.ticket, frame.due):
                self.later(frame.due, TimerFired(frame.id, frame.ticket))
                if frame.phase is Phase.RETRY:
                    self.waits.append(frame.due - self.world.time)
        for effect in step.effects:
            self._carry_out(effect)
        return step.more

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Dispatch():
                self._dispatch(effect)
            case ReadItems() | WriteResults():
                self._reply(effect, self.store(effect))
            case End():
                self._queue.clear()

    def _dispatch(self, dispatch: Dispatch) -> None:
        self.calls.append(dispatch)
        self.in_flight.add((dispatch.frame, dispatch.ticket))
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        answer = self.worker(dispatch)
        if answer is not None:
            self._reply(dispatch, answer)

    def _reply(self, effect: Dispatch | ReadItems | WriteResults, answer: Answer) -> None:
        event: Input
        if answer.failed:
            event = TaskFailed(effect.frame, effect.ticket, answer.error, answer.cause)
        elif isinstance(effect, ReadItems):
            event = ItemsRead(effect.frame, effect.ticket, answer.output)
        elif isinstance(effect, WriteResults):
            event = ResultsWritten(effect.frame, effect.ticket, Payload(answer.output))
        else:
            event = TaskSucceeded(effect.frame, effect.ticket, Payload(answer.output))
        self.later(self.world.time + answer.seconds, event)
