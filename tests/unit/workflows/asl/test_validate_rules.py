"""Rules of Retry, Catch, Choice, Map and Parallel, and of the document around them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.workflows.asl.machines import DONE, TASK, Definition, in_jsonata, machine, single
from torpor.workflows.asl.problem import Severity
from torpor.workflows.asl.validate import MachineType, check_definition, create_error

SCHEMA = "SCHEMA_VALIDATION_FAILED: "
INNER = machine(Inner={"Type": "Pass", "End": True})
DISTRIBUTED = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, **INNER}


def found(definition: Definition | str) -> list[str]:
    return [str(problem).removeprefix(SCHEMA) for problem in check_definition(definition)]


def task(**fields: Any) -> Definition:
    return machine(S={**TASK, **fields})


def choice(*rules: Definition) -> Definition:
    return machine(S={"Type": "Choice", "Choices": list(rules), "Default": "T"}, T=DONE)


@pytest.mark.parametrize(
    ("retrier", "problem"),
    [
        ({}, "These fields are required: [ErrorEquals] at /States/S/Retry[0]"),
        (
            {"ErrorEquals": ["A"], "IntervalSeconds": 0},
            "Minimum value is 1 at /States/S/Retry[0]/IntervalSeconds",
        ),
        (
            {"ErrorEquals": ["A"], "MaxAttempts": -1},
            "Minimum value is 0 at /States/S/Retry[0]/MaxAttempts",
        ),
        (
            {"ErrorEquals": ["A"], "BackoffRate": 0.5},
            "Minimum value is 1.0 at /States/S/Retry[0]/BackoffRate",
        ),
        (
            {"ErrorEquals": ["A", "States.ALL"]},
            "States.ALL must appear alone and at end of list at /States/S/Retry[0]/ErrorEquals[1]",
        ),
        (
            {"ErrorEquals": [1]},
            "Expected value of type String at /States/S/Retry[0]/ErrorEquals[0]",
        ),
    ],
)
def test_a_retrier_is_checked(retrier: Definition, problem: str) -> None:
    assert found(task(Retry=[retrier])) == [problem]


def test_a_wildcard_must_be_in_the_last_rule() -> None:
    rules = [{"ErrorEquals": ["States.ALL"], "Next": "T"}, {"ErrorEquals": ["A"], "Next": "T"}]
    assert found(machine(S={**TASK, "Catch": rules}, T=DONE)) == [
        "States.ALL must appear alone and at end of list at /States/S/Catch[0]/ErrorEquals[0]"
    ]


def test_a_catcher_needs_a_target_that_exists() -> None:
    assert found(task(Catch=[{"ErrorEquals": ["A"]}, {"ErrorEquals": ["B"], "Next": "X"}])) == [
        "These fields are required: [Next] at /States/S/Catch[0]",
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: X at /States/S/Catch[1]/Next",
    ]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (
            {"Variable": "$.a", "StringEquals": "x"},
            "These fields are required: [Next] at /States/S/Choices[0]",
        ),
        (
            {"Variable": "a", "StringEquals": "x", "Next": "T"},
            "Value is not a Reference Path: Reference path didn't start with '$'"
            " at /States/S/Choices[0]/Variable",
        ),
        ({"StringEquals": "x", "Next": "T"}, "These fields are required: [Variable]"),
        ({"Variable": "$.a", "Next": "T"}, "A comparison operator is required"),
        (
            {"Variable": "$.a", "NumericEquals": "1", "Next": "T"},
            "Expected value of type Number at /States/S/Choices[0]/NumericEquals",
        ),
        (
            {"Variable": "$.a", "IsNull": True, "IsString": True, "Next": "T"},
            "There should only be one of the following fields: [IsNull, IsString]",
        ),
        ({"And": [], "Next": "T"}, "non-empty required at /States/S/Choices[0]/And"),
        (
            {"Not": {"Variable": "$.a", "IsNull": True, "Next": "T"}, "Next": "T"},
            "Field 'Next' is not supported at /States/S/Choices[0]/Not",
        ),
        (
            {"Condition": "{% true %}", "Next": "T"},
            "field 'Condition' is only supported for the 'JSONata' QueryLanguage",
        ),
    ],
)
def test_a_choice_rule_is_checked(rule: Definition, problem: str) -> None:
    assert any(problem in line for line in found(choice(rule))), found(choice(rule))


def test_a_jsonata_choice_has_conditions() -> None:
    assert found(in_jsonata(choice({"Condition": "{% $states.input.a %}", "Next": "T"}))) == []
    assert found(in_jsonata(choice({"Next": "T"}))) == [
        "These fields are required: [Condition] at /States/S/Choices[0]"
    ]


def test_a_map_has_one_processor_and_one_item_template() -> None:
    both = single("Map", ItemProcessor=INNER, Iterator=INNER, Parameters={}, ItemSelector={})
    assert found(both) == [
        "There should only be one of the following fields: [ItemSelector, Parameters] at /States/S",
        "There should only be one of the following fields: [ItemProcessor, Iterator] at /States/S",
    ]
    assert found(single("Map")) == ["These fields are required: [ItemProcessor] at /States/S"]
    assert found(single("Map", Iterator=INNER, Parameters={"a.$": "$$.Map.Item.Value"})) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"MaxConcurrency": -1}, "Minimum value is 0 at /States/S/MaxConcurrency"),
        (
            {"ToleratedFailurePercentage": 101},
            "Maximum value is 100.0 at /States/S/ToleratedFailurePercentage",
        ),
        (
            {"MaxConcurrencyPath": "$$.Execution.Input.n"},
            "Value is not a Reference Path at /States/S/MaxConcurrencyPath",
        ),
        (
            {"ItemBatcher": {"MaxItemsPerBatch": 1, "MaxItemsPerBatchPath": "$.a"}},
            "There should only be one of the following fields: [MaxItemsPerBatch,"
            " MaxItemsPerBatchPath] at /States/S/ItemBatcher",
        ),
        ({"ItemReader": {}}, "These fields are required: [Resource] at /States/S/ItemReader"),
        (
            {
                "ItemReader": {
                    "Resource": "arn:aws:states:::s3:getObject",
                    "ReaderConfig": {"InputType": "XML"},
                }
            },
            "Value is not one of: [CSV, JSON, JSONL, PARQUET, MANIFEST]"
            " at /States/S/ItemReader/ReaderConfig/InputType",
        ),
    ],
)
def test_a_distributed_map_is_checked(fields: Definition, problem: str) -> None:
    assert found(single("Map", ItemProcessor=DISTRIBUTED, **fields)) == [problem]


def test_an_inline_map_reads_no_items_from_outside() -> None:
    reader = {"Resource": "arn:aws:states:::s3:getObject"}
    (problem,) = found(single("Map", ItemProcessor=INNER, ItemReader=reader))
    assert "Field 'ItemReader' is only supported" in problem


@pytest.mark.parametrize(
    "bad", [" ", "\n", "<", "]", "?", '"', "\\", "`", ";", "/", "\x01", "\x9f"]
)
def test_a_label_with_a_bad_character_is_refused_with_the_definition(bad: str) -> None:
    text = json.dumps(single("Map", ItemProcessor=DISTRIBUTED, Label=f"a{bad}"))
    (problem,) = check_definition(text)
    assert problem.location == "/States/S/Label"
    code, message = create_error([problem], text)
    assert code == "InvalidDefinition"
    assert message == f"Error=ValueError Args={[problem.message]} in definition '{text}'."


def test_a_label_is_short_and_unique() -> None:
    assert found(single("Map", ItemProcessor=DISTRIBUTED, Label="x" * 41)) == [
        "INVALID_LABEL_NAME: Label cannot exceed 40 characters at /States/S/Label"
    ]
    one = single("Map", ItemProcessor=DISTRIBUTED, Label="a", End=..., Next="T")["States"]["S"]
    inner = machine(Other={"Type": "Pass", "End": True})
    other = {**one, "ItemProcessor": {**DISTRIBUTED, **inner}, "Next": "U"}
    assert found(machine(S=one, T=other, U=DONE)) == [
        "DUPLICATE_LABEL_NAME: Duplicate label name: a at /States/T/Label"
    ]


def test_a_machine_that_cannot_end_is_reported_without_a_location() -> None:
    loop = machine(A={"Type": "Pass", "Next": "B"}, B={"Type": "Pass", "Next": "A"})
    (problem,) = check_definition(loop)
    assert (problem.code, problem.location) == ("MISSING_END_STATE", "")
    assert create_error([problem]) == (
        "InvalidDefinition",
        "Invalid State Machine Definition:"
        " 'MISSING_END_STATE: Workflow has no terminal state at null'",
    )


def test_a_state_that_nothing_leads_to_is_reported() -> None:
    definition = machine(
        pass1={"Type": "Pass", "Next": "pass3"}, pass2={"Type": "Pass", "End": True}
    )
    assert create_error(check_definition(definition))[1] == (
        "Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing 'Next' target: pass3"
        ' at /States/pass1/Next, MISSING_TRANSITION_TARGET: State "pass2" is not reachable.'
        " at /States/pass2'"
    )


def test_an_island_of_states_is_unreachable() -> None:
    definition = machine(A=DONE, B={"Type": "Pass", "Next": "C"}, C={"Type": "Pass", "Next": "B"})
    assert [line.rpartition(" at ")[2] for line in found(definition)] == ["/States/B", "/States/C"]


def test_a_branch_cannot_be_left() -> None:
    branch = machine(B={"Type": "Pass", "Next": "Out"})
    definition = machine(S={"Type": "Parallel", "Branches": [branch], "Next": "Out"}, Out=DONE)
    assert found(definition) == [
        "MISSING_TRANSITION_TARGET: Missing 'Next' target: Out"
        " at /States/S/Branches[0]/States/B/Next",
        "MISSING_END_STATE: Workflow has no terminal state at /States/S/Branches[0]",
    ]


def test_names_are_unique_in_the_whole_definition_and_short() -> None:
    definition = single("Parallel", Branches=[machine(S=DONE), machine(**{"n" * 81: DONE})])
    assert [(p.code, p.location) for p in check_definition(definition)] == [
        ("DUPLICATE_STATE_NAME", "/States/S/Branches[0]/States/S"),
        ("INVALID_STATE_NAME", f"/States/S/Branches[1]/States/{'n' * 81}"),
    ]


def test_a_state_written_twice_is_found_in_the_text() -> None:
    text = '{"StartAt": "A", "States": {"A": {"Type": "Succeed"}, "A": {"Type": "Fail"}}}'
    assert found(text) == ["DUPLICATE_STATE_NAME: Duplicate State name: A at /States/A"]


def test_a_field_written_twice_is_found_in_the_text() -> None:
    text = '{"StartAt": "A", "States": {"A": {"Type": "Succeed", "Type": "Fail"}}}'
    assert found(text) == ["INVALID_JSON_DESCRIPTION: Duplicate field 'Type' at /States/A"]


def test_a_distributed_map_says_what_its_children_are_and_is_not_express() -> None:
    processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED"}, **INNER}
    place = "/States/S/ItemProcessor/ProcessorConfig"
    assert found(single("Map", ItemProcessor=processor)) == [
        f"These fields are required: [ExecutionType] at {place}"
    ]
    definition = single("Map", ItemProcessor=DISTRIBUTED)
    (problem,) = check_definition(definition, machine_type=MachineType.EXPRESS)
    assert problem.location == f"{place}/Mode"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "MISSING_DESCRIPTION"),
        ("{", "INVALID_JSON_DESCRIPTION"),
        ('{"StartAt": NaN}', "INVALID_JSON_DESCRIPTION"),
        ('{"a": "' + "x" * 1_048_576 + '"}', "INVALID_JSON_DESCRIPTION"),
        ("[" * 300 + "]" * 300, "TOO_DEEPLY_NESTED"),
        ("[" * 100_000 + "]" * 100_000, "TOO_DEEPLY_NESTED"),
        ("[]", "SCHEMA_VALIDATION_FAILED"),
        ("null", "SCHEMA_VALIDATION_FAILED"),
    ],
)
def test_what_is_not_a_definition_gives_one_problem(text: str, code: str) -> None:
    assert [problem.code for problem in check_definition(text)] == [code]


def test_warnings_are_given_when_asked_for() -> None:
    definition = machine(
        A={"Type": "Pass", "Parameters": {"a": "$.b"}, "Result": {"c": "$.d"}, "Next": "B"},
        B={
            "Type": "Choice",
            "Choices": [{"Variable": "$.a", "StringEquals": "$.b", "Next": "C"}],
        },
        C=DONE,
    )
    assert check_definition(definition) == ()
    warnings = check_definition(definition, severity=Severity.WARNING)
    assert {problem.severity for problem in warnings} == {Severity.WARNING}
    assert [(problem.code, problem.location) for problem in warnings] == [
        ("NO_DOLLAR", "/States/A/Parameters/a"),
        ("PASS_RESULT_IS_STATIC", "/States/A/Result/c"),
        ("NO_PATH", "/States/B/Choices[0]/StringEquals"),
    ]


def test_deep_but_allowed_nesting_is_checked_to_its_end() -> None:
    rule: Definition = {"Variable": "a", "IsNull": True}
    template: Any = {"b.$": "c"}
    for _ in range(190):
        rule, template = {"Not": rule}, [template]
    assert len(found(choice({**rule, "Next": "T"}))) == 1
    assert len(found(single("Pass", Parameters=template))) == 1


def test_an_object_that_is_not_json_gives_one_problem() -> None:
    circular: Definition = {}
    circular["States"] = circular
    for definition in (circular, {"StartAt": {1, 2}}, {(1, 2): "x"}):
        assert [p.code for p in check_definition(definition)] == [  # type: ignore[arg-type]
            "INVALID_JSON_DESCRIPTION"
        ]
