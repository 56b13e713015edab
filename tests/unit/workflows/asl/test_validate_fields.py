"""Which fields a state may have, of which types, in which query language, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workflows.asl.machines import TASK, Definition, in_jsonata, machine, single
from torpor.workflows.asl.validate import MachineType, check_definition

SCHEMA = "SCHEMA_VALIDATION_FAILED: "


def found(definition: Definition, **options: Any) -> list[str]:
    return [
        str(problem).removeprefix(SCHEMA) for problem in check_definition(definition, **options)
    ]


def test_everything_missing_from_a_machine_is_one_problem() -> None:
    assert found({"Fn::Sub": ""}) == [
        "These fields are required: [States, StartAt] at /",
        "Field 'Fn::Sub' is not supported at /",
    ]


@pytest.mark.parametrize("kind", ["Pass", "Wait", "Choice", "Succeed", "Fail", "Map", "Parallel"])
def test_only_a_task_has_a_timeout(kind: str) -> None:
    assert "Field 'TimeoutSeconds' is not supported at /States/S" in found(
        single(kind, TimeoutSeconds=5)
    )


@pytest.mark.parametrize("field", ["Retry", "Catch"])
@pytest.mark.parametrize("kind", ["Pass", "Wait", "Choice", "Succeed", "Fail"])
def test_only_working_states_handle_errors(kind: str, field: str) -> None:
    assert f"Field '{field}' is not supported at /States/S" in found(single(kind, **{field: []}))


def test_all_problems_come_at_once_in_document_order() -> None:
    definition = machine(
        First={"Type": "Pass", "Nxt": "x", "InputPath": 5, "Next": "Second"},
        Second={"Type": "Wait", "Seconds": "$.n", "End": "yes", "Next": "Third"},
        Third={"Type": "Jump"},
        Fourth={"Type": "Succeed", "Comment": 1},
    )
    assert found(definition) == [
        "Field 'Nxt' is not supported at /States/First",
        "Expected value of type String at /States/First/InputPath",
        "Expected value of type Integer at /States/Second/Seconds",
        "Expected value of type Boolean at /States/Second/End",
        "Value is not one of: [Pass, Task, Choice, Wait, Succeed, Fail, Parallel, Map]"
        " at /States/Third/Type",
        "Expected value of type String at /States/Fourth/Comment",
        'MISSING_TRANSITION_TARGET: State "Fourth" is not reachable. at /States/Fourth',
    ]


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (single("Wait"), "These fields are required: [Seconds] at /States/S"),
        (
            single("Wait", Seconds=1, Timestamp="2024-01-01T00:00:00Z"),
            "There should only be one of the following fields: [Seconds, Timestamp] at /States/S",
        ),
        (single("Wait", Seconds=10**9), "Maximum value is 99999999 at /States/S/Seconds"),
        (single("Wait", Seconds=True), "Expected value of type Integer at /States/S/Seconds"),
        (single("Pass", End=...), "These fields are required: [Next] at /States/S"),
        (single("Task"), "These fields are required: [Resource] at /States/S"),
        (
            single("Task", Resource="no resource"),
            "Value is not a valid resource ARN at /States/S/Resource",
        ),
        (single("Pass", OutputPath="x"), "Value must be a valid JSONPath. at /States/S/OutputPath"),
        (
            single("Pass", ResultPath="x"),
            "Value is not a Reference Path: Reference path didn't start with '$'"
            " at /States/S/ResultPath",
        ),
        (
            single("Pass", ResultPath="$$.x"),
            "Value is not a Reference Path at /States/S/ResultPath",
        ),
        (
            single("Pass", Assign={"x.$": "y"}),
            "The value for the field 'x.$' must be a valid JSONPath or a valid intrinsic function"
            " call at /States/S/Assign",
        ),
        (single("Pass", Assign={"states": 1}), "Variable name 'states' is reserved"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(state: Definition, problem: str) -> None:
    assert any(problem in line for line in found(state)), found(state)


@pytest.mark.parametrize(
    ("written", "is_valid"),
    [
        ("2016-03-14T01:59:00Z", True),
        ("2016-03-14T01:59:00.123456789Z", True),
        ("2016-03-14T01:59:00+01:00", True),
        ("2016-03-14t01:59:00Z", False),
        ("2016-03-14T01:59:00z", False),
        ("2016-03-14T01:59Z", False),
        ("2016-02-30T01:59:00Z", False),
        ("2016-03-14T01:59:00+99:00", False),
    ],
)
def test_timestamps_are_rfc3339(written: str, is_valid: bool) -> None:
    problem = "String does not match RFC3339 timestamp at /States/S/Timestamp"
    assert found(single("Wait", Timestamp=written)) == ([] if is_valid else [problem])


@pytest.mark.parametrize("name", ["InputPath", "OutputPath", "ResultPath", "Parameters"])
def test_jsonpath_fields_do_not_exist_in_jsonata(name: str) -> None:
    assert found(in_jsonata(single("Pass", **{name: "$.a"}))) == [
        f"The QueryLanguage is set to 'JSONata', but field '{name}' is only supported for the"
        " 'JSONPath' QueryLanguage at /States/S"
    ]


def test_a_nested_state_has_the_language_of_the_definition_not_of_the_map() -> None:
    inner = single("Pass", Output={})
    definition = single("Map", QueryLanguage="JSONata", ItemProcessor=inner)
    inner["States"] = {"Inner": inner["States"]["S"]}
    inner["StartAt"] = "Inner"
    assert found(definition) == [
        "The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the"
        " 'JSONata' QueryLanguage at /States/S/ItemProcessor/States/Inner"
    ]


def test_a_state_can_change_to_jsonata_but_not_back() -> None:
    assert found(single("Pass", QueryLanguage="JSONata", Output="{% 1 %}")) == []
    assert found(in_jsonata(single("Pass", QueryLanguage="JSONPath"))) == [
        "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine"
        " at /States/S"
    ]


def test_jsonata_is_parsed_when_a_definition_is_checked() -> None:
    problems = check_definition(in_jsonata(single("Pass", Output={"v": ["{% 1 + %}"]})))
    assert [(p.code, p.location) for p in problems] == [
        ("INVALID_JSONATA_EXPRESSION", "/States/S/Output/v[0]")
    ]


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("$states.input.a.b", []),
        ("phone.x", ["phone"]),
        ("$map($states.input, function($v) { $v.a = b })", ["b"]),
        ("$states.input[price > 3].name", []),
        ("{'a': x, 'b': x, 'c': y}", ["x", "y"]),
        ("$states.input.orders.(price * count)", []),
        ("$string($)", ["$"]),
        ("$states.input.items.$", []),
    ],
)
def test_jsonata_has_no_context_item(expression: str, names: list[str]) -> None:
    definition = in_jsonata(single("Pass", Output=f"{{% {expression} %}}"))
    assert found(definition) == [
        f"UNSUPPORTED_JSONATA_EXPRESSION: Reference to '{name}' at the top level is not supported."
        " at /States/S/Output"
        for name in names
    ]


@pytest.mark.parametrize(
    ("field", "value", "wrong"),
    [
        ("Arguments", "{% $states.result %}", "result"),
        ("Output", "{% $states.result %}", None),
        ("Assign", {"x": "{% $states.context.Execution.Id %}"}, None),
        ("Output", "{% $map([1], function($v) { $states.errorOutput }) %}", "errorOutput"),
        ("Catch", [{"Output": "{% $states.errorOutput.Cause %}"}], None),
        ("Catch", [{"Assign": {"e": "{% $states.result %}"}}], "result"),
    ],
)
def test_each_place_has_its_fields_of_states(field: str, value: Any, wrong: str | None) -> None:
    if field == "Catch":
        value = [{"ErrorEquals": ["States.ALL"], "Next": "T", **value[0]}]
    state = {**TASK, field: value, "End": False, "Next": "T"}
    problems = found(in_jsonata(machine(S=state, T={"Type": "Succeed"})))
    assert [line.partition(" at ")[0] for line in problems] == (
        [f"UNSUPPORTED_JSONATA_EXPRESSION: Field '$states.{wrong}' does not exist."]
        if wrong
        else []
    )


def test_numbers_may_be_computed_in_jsonata_only() -> None:
    assert found(in_jsonata(single("Wait", Seconds="{% 1 + 1 %}"))) == []
    assert found(single("Wait", Seconds="{% 1 + 1 %}")) == [
        "Expected value of type Integer at /States/S/Seconds"
    ]


@pytest.mark.parametrize(
    "resource",
    [
        "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "arn:aws:states:::ecs:runTask.sync",
        "arn:aws:states:us-east-1:1:activity:a",
    ],
)
def test_an_express_machine_waits_for_nothing_outside(resource: str) -> None:
    definition = single("Task", Resource=resource)
    assert found(definition) == []
    (problem,) = found(definition, machine_type=MachineType.EXPRESS)
    assert problem.startswith("Express state machine does not support")
    assert problem.endswith(" at /States/S/Resource")


def test_the_engine_decides_which_resources_exist() -> None:
    definition = single("Task", Resource="arn:aws:states:::glue:startJobRun")
    assert found(definition, refuse_resource=lambda _: "Value is not a valid resource ARN") == [
        "Value is not a valid resource ARN at /States/S/Resource"
    ]


@pytest.mark.parametrize("text", ["{% 'open", " {% 1 %} ", "{% 1 %} ", "x %}", "{%}"])
def test_delimiters_of_jsonata_are_whole_or_absent(text: str) -> None:
    problem = (
        "INVALID_JSONATA_EXPRESSION: A JSONata expression must start with '{%' and end with '%}', "
        "with no spaces before or after at /States/S/"
    )
    passing = in_jsonata(single("Pass", Output={"a": [text]}))
    assert found(passing) == [f"{problem}Output/a[0]"]
    failing = in_jsonata(machine(S={"Type": "Fail", "Cause": text}))
    assert found(failing) == [f"{problem}Cause"]
    assert found(single("Pass", Result=text)) == []


@pytest.mark.parametrize(("heartbeat", "valid"), [(9, True), (10, False), (11, False)])
def test_a_heartbeat_is_shorter_than_the_time_out(heartbeat: int, valid: bool) -> None:
    timed = single(
        "Task",
        Resource="arn:aws:lambda:f",
        TimeoutSeconds=10,
        HeartbeatSeconds=heartbeat,
    )
    problem = "HeartbeatSeconds must be smaller than TimeoutSeconds at /States/S/HeartbeatSeconds"
    assert found(timed) == ([] if valid else [problem])
