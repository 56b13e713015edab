"""Retry and Catch: which errors, how often, after how long, and what goes on from there."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.harness import Answer, Outcome, Player
from tests.unit.workflows.asl.playing import Script, failure, machine, only, task
from torpor.workflows.asl.frontier import Status

CAUGHT = {"Type": "Pass", "End": True}


def retried(retry: list[dict[str, Any]], *answers: Answer) -> Outcome:
    return Player(only(task(Retry=retry)), Script(*answers)).run()


def caught(catch: dict[str, Any], error: str = "Broken", **fields: Any) -> Outcome:
    states = {"Work": {**task(Catch=[catch], **fields), "End": True}, "Caught": CAUGHT}
    definition = machine("Work", states, QueryLanguage=fields.get("QueryLanguage", "JSONPath"))
    return Player(definition, Script(failure(error, "why"))).run({"in": 1})


def test_the_wait_grows_by_the_backoff_rate_and_stops_at_max_delay() -> None:
    rule = {"ErrorEquals": ["E"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxAttempts": 4}
    outcome = retried([{**rule, "MaxDelaySeconds": 10}], failure("E"))
    assert outcome.waits == [2, 6, 10, 10]
    assert (outcome.status, outcome.error) == (Status.FAILED, "E")


def test_full_jitter_waits_at_most_the_delay() -> None:
    rule = {"ErrorEquals": ["E"], "IntervalSeconds": 8, "BackoffRate": 1, "MaxAttempts": 20}
    waits = retried([{**rule, "JitterStrategy": "FULL"}], failure("E")).waits
    assert len(set(waits)) > 10
    assert all(0 <= wait < 8 for wait in waits)


def test_defaults_are_three_attempts_after_one_two_and_four_seconds() -> None:
    assert retried([{"ErrorEquals": ["E"]}], failure("E")).waits == [1, 2, 4]


def test_a_backoff_beyond_all_bounds_waits_a_year_at_most() -> None:
    rule = {"ErrorEquals": ["E"], "BackoffRate": 1e300, "MaxAttempts": 5}
    assert max(retried([rule], failure("E")).waits) == 31_536_000


def test_the_first_rule_that_matches_is_the_only_one() -> None:
    rules = [
        {"ErrorEquals": ["E"], "MaxAttempts": 1},
        {"ErrorEquals": ["States.ALL"], "MaxAttempts": 9},
    ]
    assert retried(rules, failure("E")).waits == [1]


def test_each_rule_counts_for_itself() -> None:
    rules = [
        {"ErrorEquals": ["A"], "IntervalSeconds": 1, "MaxAttempts": 1},
        {"ErrorEquals": ["B"], "IntervalSeconds": 5, "MaxAttempts": 1},
    ]
    outcome = retried(rules, failure("A"), failure("B"), Answer("done"))
    assert (outcome.waits, outcome.output) == ([1, 5], "done")


def test_retries_are_forgotten_when_the_state_is_entered_again() -> None:
    states = {
        "Work": task(Retry=[{"ErrorEquals": ["E"], "MaxAttempts": 1}], Next="Again"),
        "Again": {
            "Type": "Choice",
            "Choices": [{"Variable": "$", "StringEquals": "more", "Next": "Work"}],
            "Default": "Done",
        },
        "Done": {"Type": "Succeed"},
    }
    script = Script(failure("E"), Answer("more"), failure("E"), Answer("enough"))
    outcome = Player(machine("Work", states), script).run()
    assert (outcome.status, outcome.waits) == (Status.SUCCEEDED, [1, 1])


def test_the_context_tells_the_number_of_retries() -> None:
    state = task(
        Parameters={"count.$": "$$.State.RetryCount"}, Retry=[{"ErrorEquals": ["States.ALL"]}]
    )
    outcome = Player(only(state), Script(failure("E"), failure("E"), Answer(0))).run()
    assert [call.argument.value["count"] for call in outcome.calls] == [0, 1, 2]


@pytest.mark.parametrize(
    ("rule", "error", "matches"),
    [
        ("States.ALL", "Broken", True),
        ("States.ALL", "States.Timeout", True),
        ("States.TaskFailed", "Broken", True),
        ("States.TaskFailed", "States.Timeout", False),
        ("States.Timeout", "States.HeartbeatTimeout", True),
        ("States.HeartbeatTimeout", "States.Timeout", False),
        ("States.ALL", "States.Runtime", False),
        ("Other", "Broken", False),
    ],
)
def test_which_errors_a_catch_takes(rule: str, error: str, matches: bool) -> None:
    outcome = caught({"ErrorEquals": [rule], "Next": "Caught"}, error)
    assert (outcome.status is Status.SUCCEEDED) is matches


def test_a_catch_puts_the_error_where_result_path_says() -> None:
    error = {"Error": "Broken", "Cause": "why"}
    catch = {"ErrorEquals": ["States.ALL"], "Next": "Caught"}
    assert caught(catch).output == error
    assert caught({**catch, "ResultPath": "$.a.b"}).output == {"in": 1, "a": {"b": error}}
    assert caught({**catch, "ResultPath": None}).output == {"in": 1}


def test_a_catch_assigns_from_the_error_output() -> None:
    assign = {"name.$": "$.Error", "seen": 1}
    states = {
        "Work": {
            **task(Catch=[{"ErrorEquals": ["States.ALL"], "Assign": assign, "Next": "Tell"}]),
            "End": True,
        },
        "Tell": {"Type": "Pass", "Parameters": {"e.$": "$name", "s.$": "$seen"}, "End": True},
    }
    outcome = Player(machine("Work", states), Script(failure("Broken"))).run()
    assert outcome.output == {"e": "Broken", "s": 1}


def test_a_jsonata_catch_has_the_error_output_and_the_input() -> None:
    catch = {
        "ErrorEquals": ["States.ALL"],
        "Output": "{% {'e': $states.errorOutput.Error, 'i': $states.input} %}",
        "Next": "Caught",
    }
    assert caught(catch, QueryLanguage="JSONata").output == {"e": "Broken", "i": {"in": 1}}


def test_a_failure_in_a_catch_rises_past_it() -> None:
    catch = {"ErrorEquals": ["States.ALL"], "Output": "{% $nothing.there %}", "Next": "Caught"}
    outcome = caught(catch, QueryLanguage="JSONata")
    assert outcome.error == "States.QueryEvaluationError"
    assert outcome.cause is not None
    assert "'Catch[0]/Output'" in outcome.cause
    assert outcome.types.count("ExecutionFailed") == 1


def test_an_evaluation_error_is_caught_with_its_place() -> None:
    state = {
        "Type": "Task",
        "QueryLanguage": "JSONata",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Arguments": {"FunctionName": "f", "Payload": {"x": "{% $states.input.nope %}"}},
        "Catch": [{"ErrorEquals": ["States.QueryEvaluationError"], "Next": "Caught"}],
        "End": True,
    }
    outcome = Player(machine("Work", {"Work": state, "Caught": CAUGHT})).run()
    assert outcome.output["Cause"] == (
        "An error occurred while executing the state 'Work' (entered at the event id #2). "
        "The JSONata expression '$states.input.nope' specified for the field "
        "'Arguments/Payload/x' returned nothing (undefined)."
    )
    evaluation = outcome.history[2]
    assert evaluation.type == "EvaluationFailed"
    assert evaluation.details["location"] == "Arguments/Payload/x"
    assert evaluation.details["state"] == "Work"


def test_a_runtime_error_ends_the_execution_from_inside_a_parallel() -> None:
    broken = {"Type": "Pass", "InputPath": "$.nope", "End": True}
    state = {
        "Type": "Parallel",
        "Branches": [machine("Broken", {"Broken": broken})],
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    outcome = Player(machine("Only", {"Only": state, "Caught": CAUGHT})).run()
    assert (outcome.status, outcome.error) == (Status.FAILED, "States.Runtime")
