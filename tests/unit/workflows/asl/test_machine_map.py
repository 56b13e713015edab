"""Inline Map: items, selectors, concurrency, and a failing iteration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.harness import Answer, Player
from tests.unit.workflows.asl.playing import Fields, echo, failure, machine, only, task
from torpor.workflows.asl.events import Dispatch
from torpor.workflows.asl.frontier import Status


def mapped(state: Fields, **fields: Any) -> Fields:
    return {"Type": "Map", "ItemProcessor": machine("I", {"I": {**state, "End": True}}), **fields}


@pytest.mark.parametrize(("limit", "most"), [(0, 7), (1, 1), (3, 3), (100, 7)])
def test_at_most_max_concurrency_iterations_run_at_once(limit: int, most: int) -> None:
    def work(call: Dispatch) -> Answer:
        return Answer(call.argument.value, seconds=7 - call.argument.value)

    outcome = Player(only(mapped(task(), MaxConcurrency=limit)), work).run(list(range(7)))
    assert outcome.output == list(range(7))
    assert outcome.most_in_flight == most


def test_no_items_no_iterations() -> None:
    outcome = Player(only(mapped(task()))).run([])
    assert outcome.output == []
    assert outcome.types[2:-1] == ["MapStateStarted", "MapStateSucceeded", "MapStateExited"]


def test_null_items_and_results_are_kept() -> None:
    assert Player(only(mapped({"Type": "Pass"}))).run([None, 0, ""]).output == [None, 0, ""]


def test_item_selector_sees_the_item_its_index_and_the_states_input() -> None:
    selector = {"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "all.$": "$.items"}
    state = mapped({"Type": "Pass"}, ItemsPath="$.items", ItemSelector=selector)
    outcome = Player(only(state)).run({"items": ["a", "b"]})
    assert outcome.output[1] == {"v": "b", "i": 1, "all": ["a", "b"]}


def test_an_iteration_sees_its_item_in_the_context() -> None:
    inner = {"Type": "Pass", "Parameters": {"i.$": "$$.Map.Item.Index"}}
    assert Player(only(mapped(inner))).run(["a", "b"]).output == [{"i": 0}, {"i": 1}]


def test_jsonata_items_and_selector() -> None:
    state = mapped(
        {"Type": "Pass"},
        Items="{% $states.input.n[$ > 1] %}",
        ItemSelector={"x": "{% $states.context.Map.Item.Value * 10 %}"},
    )
    outcome = Player(only(state, QueryLanguage="JSONata")).run({"n": [1, 2, 3]})
    assert outcome.output == [{"x": 20}, {"x": 30}]


def test_a_failing_iteration_aborts_the_others_and_fails_the_map() -> None:
    def work(call: Dispatch) -> Answer:
        return failure("Odd", seconds=1) if call.argument.value == 1 else Answer(0, seconds=9)

    outcome = Player(only(mapped(task())), work).run([0, 1, 2])
    assert (outcome.status, outcome.error) == (Status.FAILED, "Odd")
    assert outcome.types[-8:] == [
        "LambdaFunctionFailed",
        "MapIterationFailed",
        "TaskStateAborted",
        "MapIterationAborted",
        "TaskStateAborted",
        "MapIterationAborted",
        "MapStateFailed",
        "ExecutionFailed",
    ]


def test_iterations_not_started_yet_are_never_started_after_a_failure() -> None:
    def work(call: Dispatch) -> Answer:
        return failure("Broken", seconds=1)

    outcome = Player(only(mapped(task(), MaxConcurrency=2)), work).run(list(range(9)))
    assert len(outcome.calls) == 2


def test_the_map_is_retried_and_caught_as_a_whole() -> None:
    state = mapped(
        task(),
        Retry=[{"ErrorEquals": ["Broken"], "MaxAttempts": 1}],
        Catch=[{"ErrorEquals": ["States.ALL"], "ResultPath": "$.e", "Next": "Caught"}],
        ItemsPath="$.items",
        End=True,
    )
    states = {"Each": state, "Caught": {"Type": "Pass", "End": True}}
    worker = lambda call: failure("Broken", "why", seconds=call.argument.value)  # noqa: E731
    outcome = Player(machine("Each", states), worker).run({"items": [1, 2]})
    assert outcome.output == {"items": [1, 2], "e": {"Error": "Broken", "Cause": "why"}}
    assert len(outcome.calls) == 4


def test_a_selector_that_fails_later_fails_the_map_not_the_iteration() -> None:
    selector = {"x.$": "States.ArrayGetItem($.other, $$.Map.Item.Index)"}
    state = mapped(task(), ItemsPath="$.items", ItemSelector=selector, MaxConcurrency=1)
    outcome = Player(only(state), echo).run({"items": [1, 2], "other": [5]})
    assert outcome.status is Status.FAILED
    assert "executing the state 'Only'" in (outcome.cause or "")


def test_ten_thousand_items_at_forty_at_a_time() -> None:
    worker = lambda call: Answer(call.argument.value + 1, seconds=1)  # noqa: E731
    outcome = Player(only(mapped(task(), MaxConcurrency=40)), worker).run(list(range(10_000)))
    assert outcome.output == list(range(1, 10_001))
    assert outcome.most_in_flight == 40


def test_variables_of_an_iteration_are_its_own() -> None:
    first = {"Type": "Pass", "Assign": {"sum": 0}, "Next": "Each"}
    inner = {"Type": "Pass", "Assign": {"mine.$": "$"}, "Parameters": {"s.$": "$sum"}}
    last = {"Type": "Pass", "Parameters": {"s.$": "$sum"}, "End": True}
    states = {"First": first, "Each": mapped(inner, Next="Last"), "Last": last}
    assert Player(machine("First", states)).run([1, 2]).output == {"s": 0}


@pytest.mark.parametrize(
    ("fields", "error", "cause"),
    [
        ({"MaxConcurrencyPath": "$.m"}, "States.Runtime", "MaxConcurrency cannot be negative."),
        (
            {"QueryLanguage": "JSONata", "MaxConcurrency": "{% $states.input.m %}"},
            "States.QueryEvaluationError",
            "MaxConcurrency cannot be negative.",
        ),
        (
            {"QueryLanguage": "JSONata", "MaxConcurrency": "{% $states.input.m / 2 %}"},
            "States.QueryEvaluationError",
            "MaxConcurrency must be an integer: -0.5",
        ),
        (
            {"QueryLanguage": "JSONata", "MaxConcurrency": "{% 'many' %}"},
            "States.QueryEvaluationError",
            "Expected 'number', but was 'string' for value: \"many\"",
        ),
    ],
)
def test_numbers_out_of_range_name_their_field(fields: Fields, error: str, cause: str) -> None:
    items = {"Items": [1]} if "QueryLanguage" in fields else {"ItemsPath": "$.i"}
    outcome = Player(only(mapped({"Type": "Pass"}, **items, **fields))).run({"m": -1, "i": [1]})
    assert outcome.error == error
    assert outcome.cause is not None
    assert outcome.cause.endswith(cause)
