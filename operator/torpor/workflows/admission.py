"""Whether a definition is taken: what AWS would refuse is not, nor what nothing here runs. Pure.

The engine asks this before it stores a definition, so that whatever is stored can be run.
"""

from __future__ import annotations

import json

from torpor.workflows.asl.compile import compile_program
from torpor.workflows.asl.problem import InvalidDefinition, Problem
from torpor.workflows.asl.validate import MachineType as Rules
from torpor.workflows.asl.validate import check_definition
from torpor.workflows.engine.integrations.supported import refuse_resource
from torpor.workflows.records import MachineType


def check_admission(definition: str, machine_type: MachineType) -> tuple[Problem, ...]:
    """Return every error of a definition, in document order; empty when it is taken."""
    found = check_definition(
        definition, machine_type=Rules(machine_type.value), refuse_resource=refuse_resource
    )
    if found:
        return found
    try:
        compile_program(json.loads(definition))
    except InvalidDefinition as refused:
        return refused.problems
    return ()
