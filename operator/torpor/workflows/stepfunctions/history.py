"""From stored history events to those of GetExecutionHistory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.expressions.values import json_text
from torpor.workflows.asl.scope import Json
from torpor.workflows.records import Execution, HistoryRow
from torpor.workflows.stepfunctions.times import stamp

_WITHOUT_DETAILS = frozenset(
    {
        "LambdaFunctionStarted",
        "MapRunAborted",
        "MapRunSucceeded",
        "MapStateAborted",
        "MapStateFailed",
        "MapStateSucceeded",
        "ParallelStateAborted",
        "ParallelStateFailed",
        "ParallelStateStarted",
        "ParallelStateSucceeded",
        "TaskStateAborted",
        "WaitStateAborted",
    }
)
_DATA = ("input", "output", "parameters", "assignedVariables")
_MEASURED = ("input", "output", "assignedVariables")
"""Members that say beside them whether they were cut off; none ever is here."""


def member_of(type: str) -> str | None:
    """The member of an event that holds the details of its type, None for a type without."""
    if type in _WITHOUT_DETAILS:
        return None
    if type.endswith("StateEntered"):
        return "stateEnteredEventDetails"
    if type.endswith("StateExited"):
        return "stateExitedEventDetails"
    return f"{type[0].lower()}{type[1:]}EventDetails"


def describe_event(row: HistoryRow, execution: Execution, with_data: bool) -> dict[str, Any]:
    """One event as the API gives it; inputs and outputs only on request."""
    event: dict[str, Any] = {
        "timestamp": stamp(row.at),
        "type": row.type,
        "id": row.id,
        "previousEventId": row.previous,
    }
    member = member_of(row.type)
    if member is not None:
        details = row.details
        if row.type == "ExecutionStarted":
            details = {**details, **_origin(execution)}
        event[member] = _shown(details, with_data)
    return event


def _origin(execution: Execution) -> dict[str, str]:
    """The version and alias that an execution was started through."""
    origin = {
        "stateMachineVersionArn": execution.machine_version_arn,
        "stateMachineAliasArn": execution.alias_arn,
    }
    return {name: arn for name, arn in origin.items() if arn is not None}


def _shown(details: Mapping[str, Json], with_data: bool) -> dict[str, Json]:
    if not with_data:
        return {name: value for name, value in details.items() if name not in _DATA}
    shown = dict(details)
    if "assignedVariables" in shown:
        variables = shown["assignedVariables"]
        shown["assignedVariables"] = {name: json_text(value) for name, value in variables.items()}
    for name in _MEASURED:
        if name in shown:
            shown[f"{name}Details"] = {"truncated": False}
    return shown
