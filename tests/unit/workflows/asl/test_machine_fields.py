"""Fields that are read when a state runs: a wrong type or range is told in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.harness import Outcome, Player
from tests.unit.workflows.asl.playing import Fields, machine, only, task
from torpor.workflows.asl.frontier import Status

RUNTIME = "States.Runtime"
QUERY = "States.QueryEvaluationError"


def jsonata(**fields: Any) -> Fields:
    return {"QueryLanguage": "JSONata", **fields}


def mapped(**fields: Any) -> Fields:
    return {"Type": "Map", "ItemProcessor": machine("I", {"I": {"Type": "Pass", "End": True}})} | (
        fields
    )


def spread(**fields: Any) -> Fields:
    config = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    processor = machine("I", {"I": {"Type": "Pass", "End": True}}, ProcessorConfig=config)
    return {"Type": "Map", "ItemProcessor": processor, **fields}


def played(state: Fields, data: Any) -> Outcome:
    return Player(only(state)).run(data)


def told(outcome: Outcome) -> tuple[str | None, str]:
    """The error, and the cause without the words about where it was met."""
    return outcome.error, str(outcome.cause).split("(entered at the event id #2). ")[-1]


@pytest.mark.parametrize(
    ("state", "data", "error", "cause"),
    [
        (mapped(), {"a": 1}, RUNTIME, 'Reference path "$" must point to array.'),
        (
            mapped(ItemsPath="$.a"),
            {"a": 1},
            RUNTIME,
            'Reference path "$.a" must point to array.',
        ),
        (
            mapped(**jsonata(Items="{% $states.input.a %}")),
            {"a": {"b": 1}},
            QUERY,
            'Map state input must be an array but was: {"b":1}',
        ),
    ],
)
def test_a_map_over_what_is_no_array(state: Fields, data: Any, error: str, cause: str) -> None:
    assert told(played(state, data)) == (error, cause)


NO_INTEGER = 'The MaxConcurrencyPath field refers to value "{}" which is not a valid integer: $.n'


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (-1, "MaxConcurrency cannot be negative."),
        ("many", NO_INTEGER.format("many")),
        (1.5, NO_INTEGER.format("1.5")),
        ([1], NO_INTEGER.format("[1]")),
    ],
)
def test_a_concurrency_by_path_that_is_none(value: Any, cause: str) -> None:
    outcome = played(mapped(ItemsPath="$.i", MaxConcurrencyPath="$.n"), {"i": [1], "n": value})
    assert told(outcome) == (RUNTIME, cause)


def test_a_number_by_path_may_be_written_as_a_text() -> None:
    state = spread(ItemsPath="$.i", MaxConcurrencyPath="$.n", ToleratedFailurePercentagePath="$.p")
    assert played(state, {"i": [1, 2], "n": "1", "p": "12.5"}).output == [1, 2]


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"MaxConcurrency": "{% 1.5 %}"}, "MaxConcurrency must be an integer: 1.5"),
        ({"MaxConcurrency": "{% -2 %}"}, "MaxConcurrency cannot be negative."),
        ({"ToleratedFailureCount": "{% -1 %}"}, "ToleratedFailureCount cannot be negative."),
        (
            {"ToleratedFailurePercentage": "{% 101 %}"},
            "ToleratedFailurePercentage must be between 0 and 100.",
        ),
    ],
)
def test_a_number_by_expression_that_is_out_of_range(fields: Fields, cause: str) -> None:
    outcome = played(spread(**jsonata(**fields)), [1])
    assert outcome.error == QUERY
    assert outcome.cause is not None
    assert cause in outcome.cause


def test_a_number_by_expression_of_another_type() -> None:
    outcome = played(mapped(**jsonata(MaxConcurrency="{% 'three' %}")), [1])
    assert (outcome.status, outcome.error) == (Status.FAILED, QUERY)
    assert "'three'" in str(outcome.cause)
    assert "number" in str(outcome.cause)


@pytest.mark.parametrize(
    ("state", "data", "error", "cause"),
    [
        (
            {"ErrorPath": "$.e"},
            {},
            RUNTIME,
            "The JSONPath '$.e' specified for the field 'ErrorPath' could not be found in the "
            "input '{}'",
        ),
        (
            {"CausePath": "$.e"},
            {"e": 1},
            RUNTIME,
            "The CausePath parameter does not reference a string: $.e",
        ),
    ],
)
def test_a_fail_by_path_without_a_text(state: Fields, data: Any, error: str, cause: str) -> None:
    outcome = played({"Type": "Fail", **state}, data)
    assert outcome.error == error
    assert cause in str(outcome.cause)


def test_a_fail_by_expression_without_a_text() -> None:
    outcome = played({"Type": "Fail", **jsonata(Error="{% 1 %}")}, {})
    assert outcome.error == QUERY
    assert "string" in str(outcome.cause)


def test_a_choice_that_leads_nowhere() -> None:
    states = {
        "Pick": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.x", "NumericEquals": 1, "Next": "Done"}],
        },
        "Done": {"Type": "Succeed"},
    }
    outcome = Player(machine("Pick", states)).run({"x": 2})
    assert outcome.status is Status.FAILED
    assert "does not point to a next state" in str(outcome.cause)


WAITS = [
    ({"SecondsPath": "$.v"}, 1.5, RUNTIME, "does not reference a valid integer: $.v == 1.5"),
    ({"SecondsPath": "$.v"}, "1", RUNTIME, 'does not reference a valid integer: $.v == "1"'),
    ({"SecondsPath": "$.w"}, 1, RUNTIME, "The SecondsPath parameter does not reference an input"),
    ({"SecondsPath": "$.v"}, 2**31, RUNTIME, "Wait state delay is too long."),
    ({"TimestampPath": "$.v"}, "noon", RUNTIME, "date-time format string: $.v == noon"),
    ({"TimestampPath": "$.v"}, {"a": 1}, RUNTIME, 'date-time format string: $.v == {"a":1}'),
    (jsonata(Seconds="{% -1 %}"), 0, QUERY, "Seconds cannot be negative: -1"),
    (jsonata(Seconds="{% 'x' %}"), 0, QUERY, "number"),
    (jsonata(Timestamp="{% 'noon' %}"), 0, QUERY, "date-time format string"),
    (jsonata(Seconds="{% $states.input.nothing %}"), 0, QUERY, "Seconds"),
]


@pytest.mark.parametrize(("state", "value", "error", "cause"), WAITS)
def test_a_wait_for_no_time(state: Fields, value: Any, error: str, cause: str) -> None:
    outcome = played({"Type": "Wait", **state}, {"v": value})
    assert outcome.error == error
    assert cause in str(outcome.cause)


TIMEOUTS = [
    ({"TimeoutSecondsPath": "$.v"}, 0, RUNTIME, "refers to value 0 which is not a valid integer"),
    ({"TimeoutSecondsPath": "$.v"}, "9", RUNTIME, 'refers to value "9" which is not a valid'),
    (jsonata(TimeoutSeconds="{% 0 %}"), 0, QUERY, "TimeoutSeconds must be between 1 and"),
    (jsonata(TimeoutSeconds="{% [] %}"), 0, QUERY, "number"),
]


@pytest.mark.parametrize(("fields", "value", "error", "cause"), TIMEOUTS)
def test_a_task_with_no_time(fields: Fields, value: Any, error: str, cause: str) -> None:
    outcome = played(task(**fields), {"v": value})
    assert outcome.error == error
    assert cause in str(outcome.cause)
