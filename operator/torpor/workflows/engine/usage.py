"""Counts what the executions of each machine did: states entered, ends, time of express ones."""

from __future__ import annotations

from torpor.telemetry.metrics import (
    WORKFLOW_ENDED,
    WORKFLOW_EXPRESS_SECONDS,
    WORKFLOW_SECONDS,
    WORKFLOW_TRANSITIONS,
)
from torpor.workflows.asl.frontier import Status
from torpor.workflows.machines import workflow_key
from torpor.workflows.records import Machine, MachineType


def count_transitions(machine: Machine, transitions: int) -> None:
    """Count states that an execution entered, and whose step was written."""
    if transitions:
        WORKFLOW_TRANSITIONS.labels(*_names(machine), machine.type.value).inc(transitions)


def count_end(machine: Machine, status: Status, seconds: float) -> None:
    """Count the end of an execution that took so long."""
    WORKFLOW_ENDED.labels(machine.type.value, status.value).inc()
    WORKFLOW_SECONDS.labels(machine.type.value).observe(seconds)
    if machine.type is MachineType.EXPRESS:
        WORKFLOW_EXPRESS_SECONDS.labels(*_names(machine)).observe(seconds)


def forget(machine: Machine) -> None:
    """Take out the series of a machine that is not in use: their number is bounded."""
    for metric, labels in (
        (WORKFLOW_TRANSITIONS, (*_names(machine), machine.type.value)),
        (WORKFLOW_EXPRESS_SECONDS, _names(machine)),
    ):
        metric.labels(*labels)  # remove() raises for a series that never was
        metric.remove(*labels)


def _names(machine: Machine) -> tuple[str, str]:
    """Return namespace and name of the Workflow; those of the machine where it is of none."""
    try:
        key = workflow_key(machine.name)
    except ValueError:
        return machine.options.namespace, machine.name
    return key.namespace, key.name
