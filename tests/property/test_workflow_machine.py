"""The machine under any order of events: one end, one history, whatever is repeated or copied.

Definitions are drawn at random from nested Parallels and Maps over tasks that fail, wait and retry.
"""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import Fields, failure, machine, task
from torpor.workflows.asl.events import (
    Dispatch,
    Input,
    Redrive,
    Start,
    Step,
    TaskFailed,
    TaskSucceeded,
    TimerFired,
)
from torpor.workflows.asl.frontier import Phase, Status

RETRY = [{"ErrorEquals": ["E"], "MaxAttempts": 1}]
CATCH = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.caught", "Next": "After"}]


def _steps() -> st.SearchStrategy[Fields]:
    """States that work or wait."""
    return st.one_of(
        st.sampled_from(["fine", "bad", "flaky"]).map(lambda name: task(name, ResultPath="$.r")),
        st.integers(0, 5).map(lambda seconds: {"Type": "Wait", "Seconds": seconds}),
        st.just({"Type": "Pass", "Assign": {"seen.$": "$.r"}, "Result": 1, "ResultPath": "$.r"}),
    )


def _chain(states: list[Fields]) -> Fields:
    names = [f"S{index}" for index in range(len(states))]
    linked = {
        name: {**state, **({"Next": following} if following else {"End": True})}
        for name, state, following in zip(names, states, [*names[1:], None], strict=True)
    }
    return machine("S0", {**linked, "After": {"Type": "Pass", "End": True}})


def _around(inner: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    """States made of machines."""
    parallel = st.lists(inner, min_size=1, max_size=3).map(
        lambda branches: {"Type": "Parallel", "Branches": branches, "ResultPath": "$.r"}
    )
    mapped = st.builds(
        lambda processor, limit, mode: {
            "Type": "Map",
            "ItemProcessor": {**processor, "ProcessorConfig": {"Mode": mode}},
            "ItemsPath": "$.items",
            "ItemSelector": {"items.$": "$.items", "r.$": "$$.Map.Item.Value"},
            "ResultPath": "$.r",
            "MaxConcurrency": limit,
        },
        inner,
        st.integers(0, 2),
        st.sampled_from(["INLINE", "DISTRIBUTED"]),
    )
    handled = st.builds(
        lambda state, retry, catch: {**state, **retry, **catch},
        st.one_of(parallel, mapped, _steps().filter(lambda state: state["Type"] == "Task")),
        st.sampled_from([{}, {"Retry": RETRY}]),
        st.sampled_from([{}, {"Catch": CATCH}]),
    )
    return st.lists(st.one_of(_steps(), handled), min_size=1, max_size=3).map(_chain)


DEFINITIONS = st.recursive(
    st.lists(_steps(), min_size=1, max_size=3).map(_chain), _around, max_leaves=6
)
DATA: Fields = {"items": [1, 2, 3], "r": 0}


def _worker(call: Dispatch) -> Answer:
    """Fails by function, and by ticket for the flaky one; every task takes its own time."""
    seconds = (call.frame * 7 + call.ticket * 3) % 5 + 0.5
    bad = call.resource.name == "bad" or (call.resource.name == "flaky" and call.ticket % 3 == 0)
    return failure("E", "why", seconds) if bad else Answer(call.ticket, seconds=seconds)


def _course(player: Player) -> tuple[Any, ...]:
    """All that can be seen of an execution."""
    outcome = player.run(DATA)
    events = [(event.scope, event.id, event.previous, event.type) for event in outcome.all_history]
    return outcome.status, outcome.output, outcome.error, outcome.cause, events


class _Disturbed(Player):
    """Sends some events twice, and old ones again."""

    def __init__(self, definition: Fields, seed: int) -> None:
        super().__init__(definition, _worker)
        self.random = random.Random(seed)
        self.past: list[Input] = []

    def step(self, event: Input) -> Step:
        step = super().step(event)
        self.past.append(event)
        for again in self.random.sample(self.past, min(3, len(self.past))):
            if isinstance(again, Start | TaskSucceeded | TaskFailed | TimerFired):
                repeated = super().step(again)
                assert (repeated.history, repeated.effects) == ([], [])
        return step


class _Copied(Player):
    """Goes on with a copy of the frontier after every step, as after a recovery."""

    def step(self, event: Input) -> Step:
        step = super().step(event)
        kept = pickle.loads(pickle.dumps(self.frontier))
        self.frontier = copy.deepcopy(kept)
        return step


@settings(max_examples=150, deadline=None)
@given(DEFINITIONS, st.integers(0, 999))
def test_repeated_and_late_events_change_nothing(definition: Fields, seed: int) -> None:
    assert _course(_Disturbed(definition, seed)) == _course(Player(definition, _worker))


@settings(max_examples=150, deadline=None)
@given(DEFINITIONS)
def test_a_copied_frontier_goes_on_the_same(definition: Fields) -> None:
    assert _course(_Copied(definition, _worker)) == _course(Player(definition, _worker))


@settings(max_examples=150, deadline=None)
@given(DEFINITIONS, st.integers(1, 4))
def test_a_budget_changes_nothing_but_the_number_of_steps(definition: Fields, budget: int) -> None:
    assert _course(Player(definition, _worker, budget=budget)) == _course(
        Player(definition, _worker)
    )


@settings(max_examples=150, deadline=None)
@given(DEFINITIONS)
def test_an_execution_ends_and_leaves_nothing_waiting(definition: Fields) -> None:
    player = Player(definition, _worker)
    outcome = player.run(DATA)
    assert outcome.status in (Status.SUCCEEDED, Status.FAILED)
    waiting = (Phase.TASK, Phase.TOKEN, Phase.WAIT)
    assert not any(frame.phase in waiting for frame in player.frontier.frames.values())
    ids = [event.id for event in outcome.history]
    assert ids == list(range(1, len(ids) + 1))
    assert all(event.previous < event.id for event in outcome.history)


@settings(max_examples=100, deadline=None)
@given(DEFINITIONS, st.floats(0, 20))
def test_an_execution_is_stopped_in_any_phase(definition: Fields, seconds: float) -> None:
    player = Player(definition, _worker)
    player.begin(DATA)
    player.play(until=player.world.time + seconds)
    outcome = player.stop()
    assert outcome.status is not Status.RUNNING
    ends = [event for event in outcome.types if event in _ENDS]
    assert len(ends) == 1


def _steady(call: Dispatch) -> Answer:
    """Never fails, and answers the same in every run."""
    return Answer(call.resource.name, seconds=call.frame % 3 + 1)


@settings(max_examples=150, deadline=None)
@given(DEFINITIONS, st.floats(0, 20))
def test_a_stopped_execution_that_is_redriven_ends_as_if_it_was_not(
    definition: Fields, seconds: float
) -> None:
    undisturbed = Player(definition, _steady).run(DATA)
    player = Player(definition, _steady)
    player.begin(DATA)
    player.play(until=player.world.time + seconds)
    player.stop()
    player.send(Redrive())
    outcome = player.play()
    assert (outcome.status, outcome.output) == (undisturbed.status, undisturbed.output)


_ENDS = ("ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted")
