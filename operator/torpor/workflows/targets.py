"""What a state machine's ARN starts: its latest revision, a version, or one that an alias picks.

For StartExecution and for executions that start another one alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torpor.workflows.ledger.definitions import Definitions
from torpor.workflows.records import Machine, MachineStatus


class BeingDeleted(Exception):
    """The state machine takes no new executions: it goes when its running ones have ended."""


@dataclass(frozen=True, slots=True)
class Target:
    """The revision to run, and the version and alias that led to it."""

    machine: Machine
    version_arn: str | None = None
    alias_arn: str | None = None


async def find_target(
    ledger: Definitions, machine_arn: str, qualifier: str | None, chance: Callable[[], float]
) -> Target:
    """What a machine, or one of its versions (by number) or aliases (by name), means.

    An alias picks by `chance`, a number in [0, 1). Raises NotFound and BeingDeleted.
    """
    latest = await ledger.machine(machine_arn)
    if latest.status is MachineStatus.DELETING:
        raise BeingDeleted(f"State Machine is being deleted: '{machine_arn}'")
    if qualifier is None:
        return Target(latest)
    asked = f"{machine_arn}:{qualifier}"
    if qualifier.isdecimal():
        return await _version(ledger, asked, None)
    alias = await ledger.alias(asked)
    return await _version(ledger, alias.pick(chance()), alias.arn)


async def _version(ledger: Definitions, arn: str, alias_arn: str | None) -> Target:
    version = await ledger.version(arn)
    machine = await ledger.revision(version.machine_arn, version.revision_id)
    return Target(machine, version.arn, alias_arn)
