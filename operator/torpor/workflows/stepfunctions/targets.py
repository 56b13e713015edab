"""What StartExecution starts: a machine's latest revision, a version, or one an alias picks."""

from __future__ import annotations

from dataclasses import dataclass

from torpor.workflows.ledger.base import NotFound
from torpor.workflows.records import Machine, MachineStatus
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Arn, Kind, read_arn
from torpor.workflows.stepfunctions.service import Service


@dataclass(frozen=True, slots=True)
class Target:
    """The revision to run, and the version and alias that led to it."""

    machine: Machine
    version_arn: str | None = None
    alias_arn: str | None = None


async def find_target(service: Service, text: str) -> Target:
    """The target of an ARN; refuses one that does not exist or is being deleted."""
    arn = read_arn(text, Kind.MACHINE)
    try:
        latest = await service.ledger.machine(arn.machine)
        if latest.status is MachineStatus.DELETING:
            raise errors.machine_deleting(arn.machine)
        return await _qualified(service, arn, latest)
    except NotFound:
        raise errors.machine_missing(text) from None


async def _qualified(service: Service, arn: Arn, latest: Machine) -> Target:
    if arn.qualifier is None:
        return Target(latest)
    if arn.is_version:
        return Target(await _version(service, arn.text), arn.text)
    alias = await service.ledger.alias(arn.text)
    version_arn = alias.pick(service.outside.random())
    return Target(await _version(service, version_arn), version_arn, arn.text)


async def _version(service: Service, arn: str) -> Machine:
    version = await service.ledger.version(arn)
    return await service.ledger.revision(version.machine_arn, version.revision_id)
