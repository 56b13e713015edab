"""Whatever is done to a valid definition, the validator answers with problems and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflows.asl.machines import DONE, Definition, in_jsonata, machine
from torpor.workflows.asl.problem import Severity
from torpor.workflows.asl.validate import check_definition, create_error

_RETRY = [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 2, "BackoffRate": 1.5}]
_CATCH = [{"ErrorEquals": ["States.ALL"], "Next": "Done"}]
_LAMBDA = "arn:aws:lambda:eu-west-1:1:function:f"
_PATHS = machine(
    Work={
        "Type": "Task",
        "Resource": _LAMBDA,
        "Parameters": {"a.$": "States.Format('{}', $.x)", "b": [{"c.$": "$$.Execution.Id"}]},
        "ResultSelector": {"y.$": "$.z"},
        "ResultPath": "$.result",
        "TimeoutSecondsPath": "$.limit",
        "Retry": _RETRY,
        "Catch": [{**_CATCH[0], "ResultPath": "$.error"}],
        "Next": "Pick",
    },
    Pick={
        "Type": "Choice",
        "Choices": [
            {
                "And": [
                    {"Variable": "$.a", "IsPresent": True},
                    {"Not": {"Variable": "$.a", "NumericLessThanPath": "$.b"}},
                ],
                "Next": "Each",
            },
            {"Variable": "$.t", "TimestampEquals": "2024-01-01T00:00:00Z", "Next": "Rest"},
        ],
        "Default": "Done",
    },
    Each={
        "Type": "Map",
        "ItemsPath": "$.items",
        "MaxConcurrency": 3,
        "ToleratedFailurePercentage": 5,
        "Label": "each",
        "ItemReader": {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "CSV", "CSVHeaderLocation": "FIRST_ROW"},
            "Parameters": {"Bucket": "b", "Key.$": "$.key"},
        },
        "ItemBatcher": {"MaxItemsPerBatch": 10},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "EXPRESS"},
            **machine(Item={"Type": "Pass", "Result": {"v": 1}, "End": True}),
        },
        "Next": "Rest",
    },
    Rest={"Type": "Wait", "Timestamp": "2024-01-01T00:00:00Z", "Next": "Both"},
    Both={
        "Type": "Parallel",
        "Branches": [machine(Left=DONE), machine(Right={"Type": "Fail", "ErrorPath": "$.e"})],
        "Catch": _CATCH,
        "Next": "Done",
    },
    Done=DONE,
)
_JSONATA = in_jsonata(
    machine(
        Start={
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Arguments": {"FunctionName": "f", "Payload": "{% $states.input %}"},
            "Assign": {"n": "{% $states.result.n + 1 %}"},
            "Output": "{% $states.result %}",
            "HeartbeatSeconds": "{% $states.input.beat %}",
            "Catch": _CATCH,
            "Next": "Pick",
        },
        Pick={
            "Type": "Choice",
            "Choices": [{"Condition": "{% $n > 3 %}", "Next": "Done", "Assign": {"m": 1}}],
            "Default": "Each",
        },
        Each={
            "Type": "Map",
            "Items": "{% [1..3] %}",
            "ItemSelector": {"v": "{% $states.context.Map.Item.Value %}"},
            "ItemProcessor": machine(Item={"Type": "Pass", "Output": "{% $n %}", "End": True}),
            "Next": "Done",
        },
        Done={"Type": "Succeed", "Output": {"n": "{% $n %}"}},
    )
)
_VALID = (_PATHS, _JSONATA)
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 10**10),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "$", "$.a[", "States.Foo(", "{% ( %}", "{% a %}", "Done", "\ud800", "x" * 90]
    ),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def _containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        if value:
            yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from _containers(part)


@st.composite
def _damaged(draw: st.DrawFn) -> Definition:
    definition = copy.deepcopy(draw(st.sampled_from(_VALID)))
    for _ in range(draw(st.integers(1, 3))):
        holders = list(_containers(definition))
        if not holders:
            break
        _damage(draw, draw(st.sampled_from(holders)))
    return definition


def _damage(draw: st.DrawFn, holder: Any) -> None:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    key = draw(st.sampled_from(keys))
    action = draw(st.sampled_from(["drop", "rename", "replace"]))
    if action == "replace" or (action == "rename" and isinstance(holder, list)):
        holder[key] = draw(_VALUES)
        return
    value = holder.pop(key)
    if action == "rename":
        holder[draw(st.sampled_from([key + ".$", key.lower(), "Next", "States", "Type"]))] = value


def test_the_undamaged_definitions_are_valid() -> None:
    assert [check_definition(definition) for definition in _VALID] == [(), ()]


@settings(max_examples=400, deadline=None)
@given(_damaged())
def test_a_damaged_definition_gives_problems_and_never_an_exception(definition: Definition) -> None:
    from_object = check_definition(definition, severity=Severity.WARNING)
    from_text = check_definition(json.dumps(definition), severity=Severity.WARNING)
    assert from_object == from_text
    assert all(problem.code and problem.message for problem in from_object)
    assert create_error(from_object)[0] == "InvalidDefinition"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='{}[]",:$a1 \\\ud800', max_size=40))
def test_any_text_gives_problems(text: str) -> None:
    assert check_definition(text)
