"""What StartExecution starts, with the API's refusals."""

from __future__ import annotations

from torpor.workflows import targets
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.service import Service


async def find_target(service: Service, text: str) -> targets.Target:
    """The target of an ARN; refuses one that does not exist or is being deleted."""
    arn = read_arn(text, Kind.MACHINE)
    chance = service.outside.random
    try:
        return await targets.find_target(service.ledger, arn.machine, arn.qualifier, chance)
    except targets.BeingDeleted:
        raise errors.machine_deleting(arn.machine) from None
    except NotFound:
        raise errors.machine_missing(text) from None
