"""What is refused when a definition is created: resources that nothing here runs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from torpor.expressions.values import parse_json
from torpor.workflows.admission import check_admission
from torpor.workflows.engine.integrations.catalog import catalog
from torpor.workflows.engine.integrations.supported import ACTIONS
from torpor.workflows.records import MachineType


def refusals(resource: str) -> list[str]:
    states = {"Work": {"Type": "Task", "Resource": resource, "End": True}}
    text = json.dumps({"StartAt": "Work", "States": states})
    return [str(problem) for problem in check_admission(text, MachineType.STANDARD)]


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("arn:aws:states:::dynamodb:putItem", "Service 'dynamodb' is not supported."),
        ("arn:aws:states:::aws-sdk:sfn:listExecutions", "Service 'aws-sdk:sfn' is not"),
        ("arn:aws:states:::s3:deleteBucket", "Action 's3:deleteBucket' is not supported."),
        ("arn:aws:states:::lambda:invoke.sync", "Service 'lambda' does not support '.sync'."),
        ("arn:aws:states:::job:run", "Service 'job' is not supported."),
        ("foo:bar", "Value is not a valid resource ARN"),
    ],
)
def test_what_nothing_runs_is_refused_with_its_state(resource: str, reason: str) -> None:
    (problem,) = refusals(resource)
    assert reason in problem
    assert problem.endswith(" at /States/Work/Resource")


def test_a_refusal_says_what_is_supported() -> None:
    (service,) = refusals("arn:aws:states:::dynamodb:putItem")
    assert "Supported services: [aws-sdk:s3, batch, ecs, eks, events, http, lambda, s3" in service
    (action,) = refusals("arn:aws:states:::s3:deleteBucket")
    assert "[getObject, listObjects, listObjectsV2, putObject]" in action


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:lambda:book",
        "arn:aws:lambda:eu-west-1:1:function:book:live",
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "arn:aws:states:eu-west-1:1:activity:approve",
        "arn:aws:states:::states:startExecution.sync:2",
        "arn:aws:states:::http:invoke",
        "arn:aws:states:::aws-sdk:s3:getObject",
        "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "arn:aws:states:::sns:publish",
        "arn:aws:states:::events:putEvents",
        "arn:aws:states:::ecs:runTask.sync",
        "arn:aws:states:::batch:submitJob.sync",
        "arn:aws:states:::eks:runJob.sync",
        "torpor:job:report.sync",
    ],
)
def test_what_is_known_is_taken(resource: str) -> None:
    assert refusals(resource) == []


def test_the_table_has_the_services_that_are_wired() -> None:
    nothing: Any = None
    wired = catalog(nothing, nothing, nothing, nothing)
    assert ACTIONS.keys() - {"activity"} == wired.integrations.keys()


def problems_of(state: dict[str, Any], name: str = "A") -> list[str]:
    machine = {"StartAt": name, "States": {name: {**state, "End": True}}}
    text = json.dumps(machine)
    return [str(problem) for problem in check_admission(text, MachineType.STANDARD)]


@pytest.mark.parametrize(
    ("name", "result"),
    [("\ud800", 1), ("A", "\udfff"), ("A", {"\ud83d": 1}), ("A", ["x", {"y": "\ude00\ud83d"}])],
)
def test_half_a_character_is_refused(name: str, result: Any) -> None:
    (problem,) = problems_of({"Type": "Pass", "Result": result}, name)
    assert "Unpaired surrogate in a string" in problem


def test_two_halves_are_a_character() -> None:
    assert problems_of({"Type": "Pass", "Result": "\U0001f600", "Comment": "\\ud800"}) == []


def jsonata(output: Any) -> list[str]:
    return problems_of({"Type": "Pass", "QueryLanguage": "JSONata", "Output": output})


def test_an_expression_has_a_longest_length() -> None:
    assert jsonata(f"{{% '{'a' * 16_000}' %}}") == []
    (problem,) = jsonata(f"{{% '{'a' * 16_400}' %}}")
    assert "Expression is longer than 16384 characters" in problem
    assert problem.endswith(" at /States/A/Output")


def test_all_expressions_together_have_one_too() -> None:
    expression = f"{{% '{'a' * 12_998}' %}}"
    assert jsonata([expression] * 10) == []
    (problem,) = jsonata([expression] * 13)
    assert "more than 131072 characters together" in problem
    assert problem.endswith(" at /States/A/Output[10]")


def test_many_long_numbers_are_read_in_time() -> None:
    text = "[" + ",".join(["9" * 199] * 10_000) + "]"
    began = time.thread_time()
    assert len(parse_json(text)) == 10_000
    assert time.thread_time() - began < 0.25


@pytest.mark.parametrize("number", ["1e400", "-1e999", "9" * 350, "9" * 5_000])
def test_a_number_that_no_double_holds_is_refused(number: str) -> None:
    state = '{"Type": "Pass", "Result": NUMBER, "End": true}'.replace("NUMBER", number)
    text = f'{{"StartAt": "A", "States": {{"A": {state}}}}}'
    (problem,) = check_admission(text, MachineType.STANDARD)
    assert problem.message.endswith("is too large a number")
    assert len(problem.message) < 60
