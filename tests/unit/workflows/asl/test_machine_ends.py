"""Wait, Fail, paths that are null, and how an execution is ended from outside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import ByName, Fields, machine, only, task
from torpor.workflows.asl.advance import advance
from torpor.workflows.asl.events import Input, Stop, TimedOut
from torpor.workflows.asl.frontier import Frontier, Phase, Status
from torpor.workflows.asl.run import Limits

NOON = "2023-11-14T22:14:20Z"
"""A minute after the virtual world begins."""


def slept(state: Fields, data: Any) -> float:
    player = Player(only({"Type": "Wait", **state}))
    start = player.world.time
    assert player.run(data).status is Status.SUCCEEDED
    return player.world.time - start


@pytest.mark.parametrize(
    ("state", "seconds"),
    [
        ({"Seconds": 7}, 7),
        ({"SecondsPath": "$.s"}, 30),
        ({"Timestamp": NOON}, 60),
        ({"TimestampPath": "$.t"}, 60),
        ({"Timestamp": "2001-01-01T00:00:00Z"}, 0),
        ({"QueryLanguage": "JSONata", "Seconds": "{% $states.input.s + 1 %}"}, 31),
        ({"QueryLanguage": "JSONata", "Timestamp": "{% $states.input.t %}"}, 60),
    ],
)
def test_every_form_of_wait(state: Fields, seconds: float) -> None:
    assert slept(state, {"s": 30, "t": NOON}) == seconds


def failed(state: Fields, data: Any = None) -> tuple[str | None, str | None]:
    outcome = Player(only({"Type": "Fail", **state})).run(data)
    assert outcome.status is Status.FAILED
    return outcome.error, outcome.cause


def test_every_form_of_fail() -> None:
    assert failed({}) == (None, None)
    assert failed({"Error": "E"}) == ("E", None)
    assert failed({"Error": "E", "Cause": "C"}) == ("E", "C")
    assert failed({"ErrorPath": "$.e", "CausePath": "$.c"}, {"e": "E", "c": "C"}) == ("E", "C")
    assert failed({"CausePath": "States.Format('no {}', $.c)"}, {"c": 1}) == (None, "no 1")
    expression = {"QueryLanguage": "JSONata", "Error": "{% 'E' & $states.input %}"}
    assert failed(expression, 1) == ("E1", None)


def test_null_paths() -> None:
    state = {"Type": "Pass", "Result": 1}
    assert Player(only({**state, "ResultPath": None})).run({"a": 1}).output == {"a": 1}
    assert Player(only({**state, "OutputPath": None})).run({"a": 1}).output == {}
    assert Player(only({"Type": "Pass", "InputPath": None})).run({"a": 1}).output == {}


def test_states_of_both_query_languages_pass_data_and_variables() -> None:
    states = {
        "A": {"Type": "Pass", "Assign": {"x.$": "$.n"}, "Next": "B"},
        "B": {
            "Type": "Pass",
            "QueryLanguage": "JSONata",
            "Assign": {"y": "{% $x + 1 %}"},
            "Output": "{% {'n': $states.input.n * 2} %}",
            "Next": "C",
        },
        "C": {"Type": "Pass", "Parameters": {"n.$": "$.n", "y.$": "$y"}, "End": True},
    }
    assert Player(machine("A", states)).run({"n": 4}).output == {"n": 8, "y": 5}


def test_the_execution_times_out() -> None:
    outcome = Player(only({"Type": "Wait", "Seconds": 60}, TimeoutSeconds=5)).run()
    assert outcome.status is Status.TIMED_OUT
    assert outcome.types == ["ExecutionStarted", "WaitStateEntered", "ExecutionTimedOut"]


def test_stopping_keeps_the_callers_error_and_cause() -> None:
    player = Player(only({"Type": "Wait", "Seconds": 60}))
    player.begin()
    outcome = player.stop("E", "C")
    assert (outcome.status, outcome.error, outcome.cause) == (Status.ABORTED, "E", "C")
    assert player.stop().types.count("ExecutionAborted") == 1


@pytest.mark.parametrize("seconds", [0, 1, 3, 5])
def test_stopping_in_any_phase_leaves_nothing_waiting(seconds: float) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2}]
    both = {
        "Type": "Parallel",
        "Branches": [
            machine(
                "W",
                {
                    "W": {"Type": "Wait", "Seconds": 3, "Next": "D"},
                    "D": {"Type": "Pass", "End": True},
                },
            ),
            machine("T", {"T": task(Retry=retry, TimeoutSeconds=1, End=True)}),
        ],
    }
    player = Player(only(both), ByName(work=Answer(1, seconds=99)))
    player.begin()
    player.play(until=player.world.time + seconds)
    player.stop()
    frames = player.frontier.frames.values()
    assert all(frame.due is None for frame in frames)
    assert not any(frame.phase in (Phase.TASK, Phase.TOKEN, Phase.WAIT) for frame in frames)
    assert player.frontier.status is Status.ABORTED


def test_a_hundred_thousand_states() -> None:
    states = {
        "Count": {"Type": "Pass", "Parameters": {"n.$": "States.MathAdd($.n, 1)"}, "Next": "More"},
        "More": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.n", "NumericLessThan": 50_000, "Next": "Count"}],
            "Default": "Done",
        },
        "Done": {"Type": "Succeed"},
    }
    outcome = Player(machine("Count", states)).run({"n": 0})
    assert outcome.output == {"n": 50_000}
    assert len(outcome.history) == 200_004


def test_five_mebibytes_between_states_where_no_quota_forbids_it() -> None:
    states = {
        "Wrap": {"Type": "Pass", "Parameters": {"data.$": "$"}, "Next": "Work"},
        "Work": task(ResultPath="$.again", End=True),
    }
    data = "x" * (5 * 2**20)
    worker = ByName(work=Answer(1))
    outcome = Player(machine("Wrap", states), worker, limits=Limits()).run(data)
    assert outcome.output == {"data": data, "again": 1}


@pytest.mark.parametrize(
    ("event", "status", "last"),
    [
        (Stop("E", "C"), Status.ABORTED, "ExecutionAborted"),
        (TimedOut(), Status.TIMED_OUT, "ExecutionTimedOut"),
    ],
)
def test_what_has_not_begun_begins_only_to_end(event: Input, status: Status, last: str) -> None:
    player = Player(only({"Type": "Wait", "Seconds": 60}))
    player.begin()
    frontier = Frontier(player.frontier.identity)
    step = advance(player.program, frontier, event, player.world)
    assert frontier.status is status
    assert [one.type for one in step.history] == ["ExecutionStarted", last]
    assert not step.more


_KIB = 1024
_SET = {"Type": "Pass", "Assign": {"v.$": "$.v", "w.$": "$.w"}, "Next": "Done"}
_DONE = {"Type": "Succeed"}


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (254 * _KIB, 0, Status.SUCCEEDED),
        (127 * _KIB, 127 * _KIB, Status.SUCCEEDED),
        (257 * _KIB, 0, Status.FAILED),
        (130 * _KIB, 130 * _KIB, Status.FAILED),
    ],
)
def test_what_one_assign_sets_has_a_quota(first: int, second: int, status: Status) -> None:
    data = {"v": "x" * first, "w": "x" * second}
    definition = machine("Set", {"Set": _SET, "Done": _DONE})
    outcome = Player(definition, limits=Limits(256 * _KIB)).run(data)
    assert outcome.status is status
    if status is Status.FAILED:
        assert outcome.error == "States.DataLimitExceeded"
        assert "'Set'" in (outcome.cause or "")
    assert Player(definition, limits=Limits()).run(data).status is Status.SUCCEEDED


@pytest.mark.parametrize(
    ("different", "same", "status"),
    [(40, 0, Status.SUCCEEDED), (41, 0, Status.FAILED), (3, 60, Status.SUCCEEDED)],
)
def test_all_variables_of_an_execution_have_a_quota(
    different: int, same: int, status: Status
) -> None:
    names = [f"v{index}" for index in range(different)] + ["v0"] * same
    states: Fields = {
        f"S{index}": {"Type": "Pass", "Assign": {name: "x" * 98}, "Next": f"S{index + 1}"}
        for index, name in enumerate(names)
    }
    states[f"S{len(names)}"] = _DONE
    outcome = Player(machine("S0", states), limits=Limits(100)).run({})
    assert outcome.status is status
    assert outcome.error == (None if status is Status.SUCCEEDED else "States.DataLimitExceeded")
