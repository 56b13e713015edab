"""One state on its own, for TestState: entered, given its task's outcome, and looked at.

Pure: what a task answers comes in from outside. Whether an error is retried or caught is found by
running the state first without its Retry and Catch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from torpor.workflows.asl import fault
from torpor.workflows.asl.advance import NO_LIMITS, advance
from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.events import (
    Continue,
    Dispatch,
    Input,
    ItemsRead,
    TaskFailed,
    TaskSucceeded,
    TimerFired,
)
from torpor.workflows.asl.failing import evaluation_failed, fail, rise
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Frontier, Identity, Log, Phase, Status
from torpor.workflows.asl.join import finish_join
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Map, Parallel, Program, State, Working
from torpor.workflows.asl.recovery import Catcher, find_retrier, matches
from torpor.workflows.asl.run import Limits, Outside, Run
from torpor.workflows.asl.scope import Json

Outcome = Payload | Fault
"""What a task, Map or Parallel came to."""


class Verdict(StrEnum):
    """How a tested state ended, in the API's words."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    RETRIABLE = "RETRIABLE"
    CAUGHT_ERROR = "CAUGHT_ERROR"


@dataclass(frozen=True, slots=True)
class Setup:
    """A state to test, and what surrounds it.

    `item` is the Map item that it is entered for; `items` are what its ItemReader finds;
    `failures` is how many of its iterations failed; `retries` how often it was retried before.
    """

    name: str
    state: Mapping[str, Json]
    language: str
    identity: Identity
    variables: Mapping[str, Json]
    item: tuple[int, Json] | None = None
    items: list[Json] | None = None
    failures: int = 0
    retries: int = 0
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Result:
    """How a trial ended. `retry` and `catch` are the indexes of the rules that apply."""

    verdict: Verdict
    variables: Mapping[str, Json]
    output: Payload | None = None
    next: str | None = None
    failure: Fault | None = None
    retry: int | None = None
    retry_seconds: float | None = None
    catch: int | None = None


@dataclass(slots=True)
class Trial:
    """One run of the state; `left_out` are fields that it runs without."""

    setup: Setup
    outside: Outside
    left_out: frozenset[str] = frozenset()
    program: Program = field(init=False)
    frontier: Frontier = field(init=False)
    root: Frame = field(init=False)
    """The state's frame, also after it ended the machine: it has the variables."""

    def __post_init__(self) -> None:
        self.program = compile_alone(self.setup, self.left_out)
        self.frontier = Frontier(self.setup.identity)
        frame = Frame(0, None, 0, 0, self.setup.name, self.setup.identity.input, Log("", 0))
        frame.variables = dict(self.setup.variables)
        frame.item = self.setup.item
        self.root = self.frontier.frames[0] = frame
        self.frontier.next_frame = 1

    @property
    def frame(self) -> Frame | None:
        """The state's frame; None after it ended the machine."""
        return self.frontier.frames.get(0)

    @property
    def state(self) -> State:
        """The compiled state."""
        return self.program.blocks[0].states[self.setup.name]

    def enter(self) -> Dispatch | None:
        """Enter the state; returns the task that it has done, None for a state without."""
        effects = self._advance(Continue(), 1)
        frame = self.frame
        if frame is not None and frame.phase is Phase.WAIT:
            self._advance(TimerFired(frame.id, frame.ticket))
        if frame is not None and frame.phase is Phase.READ and self.setup.items is not None:
            self._advance(ItemsRead(frame.id, frame.ticket, self.setup.items))
        return next((effect for effect in effects if isinstance(effect, Dispatch)), None)

    @property
    def waits(self) -> bool:
        """Whether the state wants an outcome."""
        frame = self.frame
        return frame is not None and frame.phase in (Phase.TASK, Phase.JOIN, Phase.READ)

    def settle(self, outcome: Outcome) -> None:
        """Give the state the outcome that it waits for."""
        frame = self.frame
        assert frame is not None, "only a state that waits is settled"
        if frame.phase is not Phase.TASK:
            self._join(frame, outcome)
        elif isinstance(outcome, Fault):
            self._advance(TaskFailed(frame.id, frame.ticket, outcome.error, outcome.cause))
        else:
            self._advance(TaskSucceeded(frame.id, frame.ticket, outcome))

    def _join(self, frame: Frame, outcome: Outcome) -> None:
        run = Run(self.program, self.frontier, self.outside, self.setup.limits)
        exceeded = isinstance(self.state, Map) and self._exceeds(frame)
        run.prune(frame)
        if exceeded and not isinstance(outcome, Fault):
            cause = "The specified tolerated failure threshold was exceeded"
            outcome = Fault(fault.EXCEED_TOLERATED_FAILURES, cause)
        state = self.state
        assert isinstance(state, Map | Parallel), "only these wait for a join"
        try:
            if isinstance(outcome, Fault):
                fail(run, frame, outcome)
            else:
                finish_join(run, frame, state, outcome.value)
        except Fault as failure:
            rise(run, frame, evaluation_failed(run, frame, state, failure))

    def _exceeds(self, frame: Frame) -> bool:
        """Whether more iterations failed than the Map tolerates; one without limits never does."""
        join = frame.join
        if join is None:
            return False
        failures, count, percentage = (
            self.setup.failures,
            join.tolerated_count,
            join.tolerated_percentage,
        )
        over_count = count is not None and failures > count
        return over_count or (percentage is not None and failures * 100 > percentage * join.total)

    def _advance(self, event: Input, budget: int = 0) -> list[object]:
        step = advance(self.program, self.frontier, event, self.outside, self.setup.limits, budget)
        return list(step.effects)


def compile_alone(setup: Setup, left_out: frozenset[str] = frozenset()) -> Program:
    """The program of a machine that has only this state."""
    state = {name: value for name, value in setup.state.items() if name not in left_out}
    return compile_program(
        {"StartAt": setup.name, "QueryLanguage": setup.language, "States": {setup.name: state}}
    )


def conclude(setup: Setup, outside: Outside, bare: Trial, outcome: Outcome | None) -> Result:
    """The result, given the ended trial that ran without Retry and Catch."""
    if bare.frontier.status is not Status.FAILED:
        return _succeeded(bare)
    failure = Fault(bare.frontier.error, bare.frontier.cause)
    variables = setup.variables
    state = compile_alone(setup).blocks[0].states[setup.name]
    if not isinstance(state, Working):
        return Result(Verdict.FAILED, variables, failure=failure)
    retry = find_retrier(state.retriers, failure)
    if retry is not None and setup.retries < state.retriers[retry].max_attempts:
        seconds = state.retriers[retry].delay(setup.retries, 1.0)
        return Result(
            Verdict.RETRIABLE, variables, failure=failure, retry=retry, retry_seconds=seconds
        )
    catch = _catch_index(state.catchers, failure)
    if catch is None:
        return Result(Verdict.FAILED, variables, failure=failure)
    return _caught(setup, outside, outcome, failure, catch)


def _catch_index(catchers: tuple[Catcher, ...], failure: Fault) -> int | None:
    for index, catcher in enumerate(catchers):
        if matches(catcher.errors, failure.error):
            return index
    return None


def _caught(
    setup: Setup, outside: Outside, outcome: Outcome | None, failure: Fault, catch: int
) -> Result:
    trial = Trial(setup, outside, frozenset({"Retry"}))
    trial.enter()
    if trial.waits and outcome is not None:
        trial.settle(outcome)
    frame = trial.frame
    if frame is None or trial.frontier.status is Status.FAILED:
        again = Fault(trial.frontier.error, trial.frontier.cause)
        return Result(Verdict.FAILED, setup.variables, failure=again)
    return Result(
        Verdict.CAUGHT_ERROR,
        frame.variables,
        frame.input,
        frame.state,
        failure=failure,
        catch=catch,
    )


def _succeeded(trial: Trial) -> Result:
    frame = trial.frame
    if frame is None:
        return Result(Verdict.SUCCEEDED, trial.root.variables, trial.frontier.output)
    return Result(Verdict.SUCCEEDED, frame.variables, frame.input, frame.state)
