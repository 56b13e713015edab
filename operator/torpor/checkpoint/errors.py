"""What can end a checkpointed program, one class for each thing that its caller can do about it.

The messages are for the person who started the run: they reach the run's status.
"""

from __future__ import annotations

from torpor.checkpoint.unit import Unit


class CheckpointError(Exception):
    """The root. `exit_code` is that of a program which this error ends."""

    exit_code = 1


class BadInput(CheckpointError):
    """The input cannot be worked on, however often it is tried: exit 64, which is never retried."""

    exit_code = 64


class Stopped(CheckpointError):
    """The program was asked to stop and did: exit 143, which uses no attempt."""

    exit_code = 143


class StoreRefused(CheckpointError):
    """The store said no for a reason that waiting does not mend: credentials, bucket, space."""


class NoStore(StoreRefused):
    """The address is not one of a store, however often it is tried."""

    exit_code = 64


class StoreAway(CheckpointError):
    """The store did not answer, or said that it cannot now, for as long as was waited."""


class ObjectMissing(CheckpointError):
    """There is no object of that name."""


class ObjectChanged(CheckpointError):
    """The object is another than the one that was begun to be read."""


class PlanDiffers(CheckpointError):
    """Another plan is kept where this one should be: the work has changed and needs a new place."""

    exit_code = 64


class ResultTooLarge(CheckpointError):
    """The result does not fit into the run's status, and there is no store to keep it in."""

    exit_code = 64


class UnitDamaged(CheckpointError):
    """A unit's object is not what was committed, or is gone; so is its record: make it anew."""

    def __init__(self, message: str, unit: Unit) -> None:
        super().__init__(message)
        self.unit = unit
