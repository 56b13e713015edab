"""Describe and list state machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torpor.aws.shapes import Values, shape_of
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.records import Machine
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Arn, Kind, map_run_of, read_arn
from torpor.workflows.stepfunctions.machines import logging_of, shown_revision, tracing_of
from torpor.workflows.stepfunctions.references import variable_references
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, INCLUDED, PAGE_SIZE, PAGE_TOKEN
from torpor.workflows.stepfunctions.times import stamp


async def describe_state_machine(service: Service, values: Values) -> Answer:
    """DescribeStateMachine, also of a version."""
    arn = read_arn(values["stateMachineArn"], Kind.MACHINE)
    try:
        machine, created_at = await _found(service, arn)
    except NotFound:
        raise errors.machine_missing(arn.text) from None
    return present(
        **_described(machine, values),
        status=machine.status.value,
        type=machine.type.value,
        creationDate=stamp(created_at),
        description=machine.description,
    )


async def _found(service: Service, arn: Arn) -> tuple[Machine, float]:
    """The machine as the ARN names it, and when what it names was made."""
    if not arn.is_version:
        machine = await service.ledger.machine(arn.text)
        return machine, machine.created_at
    version = await service.ledger.version(arn.text)
    machine = await service.ledger.revision(version.machine_arn, version.revision_id)
    machine = replace(machine, arn=arn.text, description=version.description)
    return machine, version.created_at


async def describe_state_machine_for_execution(service: Service, values: Values) -> Answer:
    """DescribeStateMachineForExecution: the definition as it was when the execution started."""
    arn = read_arn(values["executionArn"], Kind.EXECUTION)
    try:
        execution = await service.ledger.execution(arn.text)
        # A Map Run's child is of its parent's machine, whatever its ARN has after the slash.
        machine_arn = execution.machine_arn.partition("/")[0]
        machine = await service.ledger.revision(machine_arn, execution.revision_id)
    except NotFound:
        raise errors.execution_missing(arn.text) from None
    map_run = map_run_of(arn.text)
    return present(
        **_described(machine, values),
        updateDate=stamp(machine.updated_at),
        mapRunArn=map_run,
        label=map_run and arn.name.partition("/")[2],
    )


def _described(machine: Machine, values: Values) -> Answer:
    hidden = values.get("includedData") == "METADATA_ONLY"
    return present(
        stateMachineArn=machine.arn,
        name=machine.name,
        definition=None if hidden else machine.definition,
        roleArn=machine.role_arn,
        loggingConfiguration=logging_of(machine),
        tracingConfiguration=tracing_of(machine),
        revisionId=shown_revision(machine),
        encryptionConfiguration={"type": "AWS_OWNED_KEY"},
        variableReferences=None if hidden else variable_references(machine.definition) or None,
    )


async def list_state_machines(service: Service, values: Values) -> Answer:
    """ListStateMachines."""
    token = service.read_page_token("machines", values.get("nextToken"))
    page = await service.ledger.machines(page_size(values), token)
    listed = [
        {
            "stateMachineArn": machine.arn,
            "name": machine.name,
            "type": machine.type.value,
            "creationDate": stamp(machine.created_at),
        }
        for machine in page.items
    ]
    return present(stateMachines=listed, nextToken=service.page_token("machines", page.next_token))


ACTIONS: Mapping[str, Action] = {
    "DescribeStateMachine": Action(
        shape_of(("stateMachineArn",), stateMachineArn=ARN, includedData=INCLUDED),
        describe_state_machine,
    ),
    "DescribeStateMachineForExecution": Action(
        shape_of(("executionArn",), executionArn=ARN, includedData=INCLUDED),
        describe_state_machine_for_execution,
    ),
    "ListStateMachines": Action(
        shape_of(maxResults=PAGE_SIZE, nextToken=PAGE_TOKEN), list_state_machines
    ),
}
