"""The context object: what an execution tells its expressions of itself."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.workflows.asl.frontier import Frame, Frontier
from torpor.workflows.asl.program import State, Working
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.timestamps import format_timestamp


def context_object(
    frontier: Frontier, frame: Frame, state: State, extra: Mapping[str, Json] | None
) -> dict[str, Json]:
    """The context object of a state (ASL, "The Context Object"), with AWS's members.

    `extra` adds to it what only one field of the state can see, such as the token of a task.
    """
    identity = frontier.identity
    place: dict[str, Json] = {"EnteredTime": format_timestamp(frame.entered_at), "Name": state.name}
    if isinstance(state, Working):
        place["RetryCount"] = frame.retry_count
    context: dict[str, Json] = {
        "Execution": _execution(frontier, frame),
        "StateMachine": {"Id": identity.machine_arn, "Name": identity.machine_name},
        "State": place,
    }
    if frame.item is not None:
        index, value = frame.item
        context["Map"] = {"Item": {"Index": index, "Value": value}}
    if extra:
        context.update(extra)
    return context


def _execution(frontier: Frontier, frame: Frame) -> dict[str, Json]:
    identity = frontier.identity
    execution: dict[str, Json] = {
        "Id": identity.execution_arn,
        "Input": identity.input.value,
        "StartTime": format_timestamp(identity.started_at),
        "Name": identity.name,
        "RoleArn": identity.role_arn,
        "RedriveCount": frontier.redrive_count,
    }
    if frame.log.scope:
        execution["Id"] = child_execution_arn(frame.log.scope)
        execution["Name"] = frame.log.scope.rpartition(":")[2]
    return execution


def child_execution_arn(scope: str) -> str:
    """The ARN of a Map Run's child execution, from the scope of its history."""
    return scope.replace(":mapRun:", ":execution:", 1)
