"""What the execution API refuses: AWS's error codes and wording, one function for each refusal."""

from __future__ import annotations

from collections.abc import Callable

from torpor.aws.errors import Refused, validation


def invalid_arn(reason: str) -> Refused:
    """An ARN that has not the form, or names another kind of thing than the call is about."""
    return Refused("InvalidArn", f"Invalid Arn: '{reason}'")


def invalid_member(member: str) -> Callable[[str], Refused]:
    """The refusal, given its reason, of what is the JSON text in a member of a request."""
    return lambda reason: validation(f"Invalid {member}: '{reason}'")


def invalid_input(reason: str) -> Refused:
    """The input of an execution is no JSON or too long."""
    return Refused("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{reason}'")


def invalid_output(reason: str) -> Refused:
    """The output that a task's worker sent is no JSON or too long."""
    return Refused("InvalidOutput", f"Invalid Output: '{reason}'")


def invalid_token() -> Refused:
    """A page or task token that this installation did not give out."""
    return Refused("InvalidToken", "Invalid Token: 'Invalid token'")


def task_gone() -> Refused:
    """A task token whose task is over."""
    return Refused("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")


def machine_missing(arn: str) -> Refused:
    """There is no such state machine, version or alias to start."""
    return Refused("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{arn}'")


def machine_exists(arn: str) -> Refused:
    """The name is taken by a state machine that is defined differently."""
    return Refused("StateMachineAlreadyExists", f"State Machine Already Exists: '{arn}'")


def machine_deleting(arn: str) -> Refused:
    """The state machine ends when its running executions have."""
    return Refused("StateMachineDeleting", f"State Machine is being deleted: '{arn}'")


def machine_managed(arn: str, workflow: str) -> Refused:
    """The state machine is what a Workflow of the cluster says, and nothing else."""
    message = f"{arn} is managed by the Workflow {workflow}; change it with kubectl"
    return Refused("AccessDeniedException", message)


def wrong_machine_type() -> Refused:
    """The call is for the other type of state machine."""
    message = "This operation is not supported by this type of state machine"
    return Refused("StateMachineTypeNotSupported", message)


def execution_missing(arn: str) -> Refused:
    """There is no such execution."""
    return Refused("ExecutionDoesNotExist", f"Execution Does Not Exist: '{arn}'")


def execution_exists(arn: str) -> Refused:
    """The name was used for another input."""
    return Refused("ExecutionAlreadyExists", f"Execution Already Exists: '{arn}'")


def activity_missing(arn: str) -> Refused:
    """There is no such activity."""
    return Refused("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")


def resource_missing(arn: str) -> Refused:
    """There is nothing that could have tags, or no Map Run, with this ARN."""
    return Refused("ResourceNotFound", f"Resource not found: '{arn}'")


def reference_missing() -> Refused:
    """An alias, or what it routes to, is not there."""
    message = "Request references a resource that does not exist."
    return Refused("ResourceNotFound", message)


def conflict(message: str) -> Refused:
    """Something else is in the way."""
    return Refused("ConflictException", message)
