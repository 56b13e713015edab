"""The machine that a call changes: it has to be there, and it must not be a Workflow's."""

from __future__ import annotations

from torpor.workflows.ledger.base import NotFound
from torpor.workflows.machines import workflow_key
from torpor.workflows.records import Machine, MachineStatus
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.service import Service


async def active_machine(service: Service, text: str) -> Machine:
    """The latest revision of a machine that an unqualified ARN names."""
    arn = read_arn(text, Kind.MACHINE)
    if arn.qualifier is not None:
        raise errors.machine_missing(text)
    machine = await machine_there(service, text)
    if machine.status is MachineStatus.DELETING:
        raise errors.machine_deleting(text)
    return machine


async def machine_there(service: Service, arn: str) -> Machine:
    """The latest revision of a machine, also while it is being deleted."""
    try:
        return await service.ledger.machine(arn)
    except NotFound:
        raise errors.machine_missing(arn) from None


def check_unmanaged(machine: Machine) -> None:
    """Refuse to change what a Workflow says: whoever may start executions may not rewrite it."""
    if machine.options.workflow_uid is not None:
        raise errors.machine_managed(machine.arn, str(workflow_key(machine.name)))


async def check_unmanaged_arn(service: Service, arn: str) -> None:
    """The same of an unqualified ARN; one that names no machine passes."""
    try:
        machine = await service.ledger.machine(arn)
    except NotFound:
        return
    check_unmanaged(machine)
