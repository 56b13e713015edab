"""What tasks that run Jobs ask for and tell, in the words of the services that they name. Pure.

`torpor:job:NAME` names the Function itself. The others name it as their users wrote it for AWS: ECS
by its TaskDefinition, Batch by its JobDefinition, EKS by the name of the Job's manifest. A result
has the members that a later state would read on AWS, and `Run` with Torpor's own account of the
run; what only AWS has (clusters, instances, log streams) is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from torpor.resources.run import BAD_INPUT, Run, RunState, run_location
from torpor.workflows.asl.resource import Resource

Json = Mapping[str, Any]
_ENDED = "Essential container in task exited"
_PREFIXES = {"ecs": "ECS", "batch": "Batch", "eks": "EKS", "job": "Job"}


def named(resource: Resource, given: Json) -> str | None:
    """Return the name of what is to run, as the task gives it; None if it gives none."""
    match resource.service:
        case "job":
            found: Any = resource.name
        case "ecs":
            found = given.get("TaskDefinition")
        case "batch":
            found = given.get("JobDefinition")
        case _:
            manifest = given.get("Job")
            meta = manifest.get("metadata") if isinstance(manifest, Mapping) else None
            found = meta.get("name") if isinstance(meta, Mapping) else None
    return found if isinstance(found, str) and found else None


def missing_name(service: str) -> str:
    """Return what a task must have that gives no name."""
    field = {"ecs": "TaskDefinition", "batch": "JobDefinition"}.get(service, "Job.metadata.name")
    return f"The parameters have no {field}, or it is not a string."


def short(name: str) -> str:
    """Return a definition's name without its ARN and revision."""
    return name.rpartition("/")[2].partition(":")[0]


def error_name(service: str, status: int | None) -> str:
    """Return the error of a run that was not taken, as the service calls it."""
    if service == "eks":
        return f"EKS.{status or 503}"
    at_fault = "Client" if status is not None and status < 500 else "Server"
    return f"{_PREFIXES[service]}.{at_fault}Exception"


def failure_name(service: str, run: Run) -> str:
    """Return the error of a run that failed: AWS's services have one name for all of them.

    `torpor:job` has another for input that is bad however often it is tried.
    """
    is_ours = service == "job" and run.reason == BAD_INPUT
    return f"Job.{BAD_INPUT}" if is_ours else "States.TaskFailed"


def taken(service: str, given: Json, accepted: Json) -> dict[str, Any]:
    """Return what the service answers when it has taken the work; `accepted`: id and location."""
    run_id, location = str(accepted["id"]), str(accepted["location"])
    match service:
        case "ecs":
            task = {
                "TaskArn": location,
                "TaskDefinitionArn": given.get("TaskDefinition"),
                "LastStatus": "PROVISIONING",
                "DesiredStatus": "RUNNING",
                "Overrides": given.get("Overrides", {}),
            }
            return {"Failures": [], "Tasks": [task], "Run": dict(accepted)}
        case "batch":
            name = given.get("JobName", run_id)
            return {"JobArn": location, "JobId": run_id, "JobName": name, "Run": dict(accepted)}
        case "eks":
            return {**_http(201, "Created", given.get("Job")), "Run": dict(accepted)}
        case _:
            return dict(accepted)


def ended(service: str, given: Json, run: Run) -> dict[str, Any]:
    """Return what the service tells of work that is over, whether it succeeded or not."""
    match service:
        case "ecs":
            return {**_task(given, run), "Run": run.to_json()}
        case "batch":
            return {**_batch_job(given, run), "Run": run.to_json()}
        case "eks":
            return {**_http(200, "OK", _kubernetes_job(given, run)), "Run": run.to_json()}
        case _:
            return run.to_json()


def _task(given: Json, run: Run) -> dict[str, Any]:
    cancelled = run.state is RunState.CANCELLED
    container = {"ExitCode": _exit_code(run), "LastStatus": "STOPPED", "Name": run.key.name}
    return {
        "Containers": [container],
        "CreatedAt": _milliseconds(run.created),
        "DesiredStatus": "STOPPED",
        "LastStatus": "STOPPED",
        "Overrides": given.get("Overrides", {}),
        "StartedAt": _milliseconds(run.started),
        "StopCode": "UserInitiated" if cancelled else "EssentialContainerExited",
        "StoppedAt": _milliseconds(run.finished),
        "StoppedReason": run.message or _ENDED,
        "TaskArn": _location(run),
        "TaskDefinitionArn": given.get("TaskDefinition"),
    }


def _batch_job(given: Json, run: Run) -> dict[str, Any]:
    code, reason = _exit_code(run), run.message or _ENDED
    started, stopped = _milliseconds(run.started), _milliseconds(run.finished)
    attempt = {
        "Container": {"ExitCode": code},
        "StartedAt": started,
        "StatusReason": reason,
        "StoppedAt": stopped,
    }
    return {
        "Attempts": [attempt],
        "Container": {"ExitCode": code, **_overrides(given)},
        "CreatedAt": _milliseconds(run.created),
        "JobArn": _location(run),
        "JobDefinition": given.get("JobDefinition"),
        "JobId": run.id,
        "JobName": given.get("JobName", run.id),
        "JobQueue": given.get("JobQueue"),
        "Parameters": given.get("Parameters", {}),
        "StartedAt": started,
        "Status": "SUCCEEDED" if run.state is RunState.SUCCEEDED else "FAILED",
        "StatusReason": reason,
        "StoppedAt": stopped,
    }


def _overrides(given: Json) -> dict[str, Any]:
    found = given.get("ContainerOverrides")
    return dict(found) if isinstance(found, Mapping) else {}


def _kubernetes_job(given: Json, run: Run) -> dict[str, Any]:
    manifest = given.get("Job")
    condition = "Complete" if run.state is RunState.SUCCEEDED else "Failed"
    status = {
        "startTime": run.started,
        "completionTime": run.finished,
        "succeeded": run.indexes.succeeded,
        "failed": run.indexes.failed,
        "conditions": [
            {
                "type": condition,
                "status": "True",
                "reason": run.reason,
                "message": run.message,
            }
        ],
    }
    return {**(manifest if isinstance(manifest, Mapping) else {}), "status": status}


def _http(status: int, reason: str, body: Any) -> dict[str, Any]:
    return {
        "ResponseBody": body,
        "ResponseHeaders": {},
        "StatusCode": status,
        "StatusReason": reason,
    }


def _exit_code(run: Run) -> int:
    """0 or 1, as for the run as a whole: those of its indexes differ."""
    return 0 if run.state is RunState.SUCCEEDED else 1


def _location(run: Run) -> str:
    return run_location(run.key.namespace, run.id)


def _milliseconds(moment: str) -> int | None:
    """A time as AWS's integrations tell it: milliseconds since 1970."""
    if not moment:
        return None
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
