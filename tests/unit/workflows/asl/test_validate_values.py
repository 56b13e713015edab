"""Values of the wrong type or form, one a field, in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workflows.asl.machines import DONE, TASK, Definition, in_jsonata, machine, single
from torpor.workflows.asl.validate import MachineType, check_definition

RULE = {"Variable": "$.a", "IsNull": True}
BOTH = {"And": [RULE], **RULE, "Next": "D"}
INNER = machine(I={"Type": "Pass", "End": True})
DISTRIBUTED = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
SPREAD = {**INNER, "ProcessorConfig": DISTRIBUTED}


def found(definition: Definition, **options: Any) -> list[str]:
    return [
        str(problem).removeprefix("SCHEMA_VALIDATION_FAILED: ")
        for problem in check_definition(definition, **options)
    ]


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        (machine(S={"Type": "Pass"}), "These fields are required: [Next] at /States/S"),
        (
            machine(S={"Type": "Pass", "End": True, "Next": "D"}, D=DONE),
            "There should only be one of the following fields: [Next, End] at /States/S",
        ),
        (
            machine(S={"Type": "Choice", "Choices": [BOTH]}, D=DONE),
            "Field 'Variable' is not supported at /States/S/Choices[0]",
        ),
        (
            single("Pass", InputPath="nope"),
            "Value must be a valid JSONPath. at /States/S/InputPath",
        ),
        (
            single("Pass", ResultPath="$.*"),
            "Value is not a Reference Path at /States/S/ResultPath",
        ),
        (
            single("Pass", ResultPath=5),
            "Expected value of type String at /States/S/ResultPath",
        ),
        (single("Fail", ErrorPath=5), "Expected value of type String at /States/S/ErrorPath"),
        (single("Task", Resource=5), "Expected value of type String at /States/S/Resource"),
        (
            single("Task", Resource="x"),
            "Value is not a valid resource ARN at /States/S/Resource",
        ),
        (machine(S={**TASK, "Retry": {}}), "Expected value of type Array at /States/S/Retry"),
        (
            single("Map", Label=5, ItemProcessor=SPREAD),
            "Expected value of type String at /States/S/Label",
        ),
        (
            single("Map", Label="", ItemProcessor=SPREAD),
            "INVALID_LABEL_NAME: Label cannot be empty at /States/S/Label",
        ),
        (
            single("Map", Label="a b", ItemProcessor=SPREAD),
            "INVALID_LABEL_NAME: Label contains invalid character: ' ' at /States/S/Label",
        ),
        (
            in_jsonata(single("Pass", Assign=5)),
            "Expected value of type Object at /States/S/Assign",
        ),
        (
            in_jsonata(single("Pass", Assign={"states": 1})),
            "Variable name 'states' is reserved at /States/S/Assign",
        ),
        (
            in_jsonata(single("Pass", Assign={"9": 1})),
            "Variable name '9' is not valid at /States/S/Assign",
        ),
    ],
)
def test_a_wrong_value_is_named(definition: Definition, problem: str) -> None:
    assert problem in found(definition)


@pytest.mark.parametrize(
    ("resource", "problem"),
    [
        (
            "arn:aws:states:us-east-1:1:activity:y",
            "Express state machine does not support Activity ARN",
        ),
        (
            "arn:aws:states:::ecs:runTask.sync",
            "Express state machine does not support '.sync' service integration",
        ),
    ],
)
def test_an_express_machine_waits_for_nobody(resource: str, problem: str) -> None:
    definition = single("Task", Resource=resource)
    assert found(definition) == []
    told = found(definition, machine_type=MachineType.EXPRESS)
    assert told == [f"{problem} at /States/S/Resource"]


def test_null_is_a_path_of_its_own() -> None:
    assert found(single("Pass", InputPath=None, OutputPath=None, ResultPath=None)) == []


def test_an_expression_is_as_long_as_its_evaluation_can_bear() -> None:
    (problem,) = found(in_jsonata(single("Pass", Output="{% " + "1+" * 200_000 + "1 %}")))
    assert "Expression is longer than" in problem
