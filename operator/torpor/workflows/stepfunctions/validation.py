"""ValidateStateMachineDefinition: every problem of a definition, nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torpor.aws.shapes import Number, OneOf, Values, shape_of
from torpor.workflows.asl.problem import Problem, Severity
from torpor.workflows.asl.validate import MachineType, check_definition
from torpor.workflows.beside import check_beside
from torpor.workflows.engine.integrations.supported import refuse_resource
from torpor.workflows.stepfunctions.machines import TYPE
from torpor.workflows.stepfunctions.service import Action, Answer, Service, present
from torpor.workflows.stepfunctions.shapes import DEFINITION

MOST_DIAGNOSTICS = 100


async def validate_state_machine_definition(service: Service, values: Values) -> Answer:
    """ValidateStateMachineDefinition: every problem at once, errors first."""
    definition = values["definition"]
    check = partial(
        check_definition,
        definition,
        machine_type=MachineType(values.get("type", "STANDARD")),
        severity=Severity(values.get("severity", "ERROR")),
        refuse_resource=refuse_resource,
    )
    problems = await check_beside(definition, check)
    most = values.get("maxResults") or MOST_DIAGNOSTICS
    failed = any(problem.severity is Severity.ERROR for problem in problems)
    return {
        "result": "FAIL" if failed else "OK",
        "diagnostics": [_diagnostic(problem) for problem in problems[:most]],
        "truncated": len(problems) > most,
    }


def _diagnostic(problem: Problem) -> Answer:
    return present(
        severity=problem.severity.value,
        code=problem.code,
        message=problem.message,
        location=problem.location or None,
    )


ACTIONS: Mapping[str, Action] = {
    "ValidateStateMachineDefinition": Action(
        shape_of(
            ("definition",),
            definition=DEFINITION,
            type=TYPE,
            severity=OneOf(("ERROR", "WARNING")),
            maxResults=Number(0, MOST_DIAGNOSTICS),
        ),
        validate_state_machine_definition,
    ),
}
