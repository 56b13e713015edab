"""The ends of a task, in the shapes that AWS's service integrations give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.workflows.asl.events import Input, TaskFailed, TaskSubmitted, TaskSucceeded
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.engine.base import Job


def succeeded(job: Job, value: Any, text: str | None = None) -> Input:
    """The task's result; `text` is its JSON where it is known already."""
    return TaskSucceeded(job.dispatch.frame, job.dispatch.ticket, Payload(value, text))


def failed(job: Job, error: str | None, cause: str | None) -> Input:
    """The task's error."""
    return TaskFailed(job.dispatch.frame, job.dispatch.ticket, error, cause)


def answered(job: Job, value: Any) -> Input:
    """What a service answered: the result, or for a callback or a job only its acceptance."""
    if job.dispatch.resource.pattern is Pattern.REQUEST_RESPONSE:
        return succeeded(job, value)
    return TaskSubmitted(job.dispatch.frame, job.dispatch.ticket, Payload(value))


def metadata(request_id: str, status: int = 200) -> dict[str, Any]:
    """The two members that every AWS SDK call adds to its answer."""
    return {
        "SdkHttpMetadata": {"HttpStatusCode": status},
        "SdkResponseMetadata": {"RequestId": request_id},
    }


def arguments(job: Job) -> Mapping[str, Any]:
    """The task's arguments as a JSON object; empty for anything else."""
    value = job.dispatch.argument.value
    return value if isinstance(value, Mapping) else {}
