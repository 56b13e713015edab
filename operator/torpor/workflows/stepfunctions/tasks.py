"""The calls by which workers report on tasks that were handed a token."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping

from torpor.aws.shapes import Values, shape_of
from torpor.workflows.engine.base import TaskGone, TaskRefused
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.payloads import read_payload
from torpor.workflows.stepfunctions.service import Action, Answer, Service
from torpor.workflows.stepfunctions.shapes import CAUSE, DATA, ERROR, TASK_TOKEN


async def send_task_success(service: Service, values: Values) -> Answer:
    """SendTaskSuccess: durable when answered."""
    output = read_payload(
        values["output"], "output", service.settings.payload_bytes, errors.invalid_output
    )
    return await _reported(service.engine.succeed(values["taskToken"], output))


async def send_task_failure(service: Service, values: Values) -> Answer:
    """SendTaskFailure: durable when answered."""
    return await _reported(
        service.engine.fail(values["taskToken"], values.get("error"), values.get("cause"))
    )


async def send_task_heartbeat(service: Service, values: Values) -> Answer:
    """SendTaskHeartbeat."""
    return await _reported(service.engine.heartbeat(values["taskToken"]))


async def _reported(report: Awaitable[None]) -> Answer:
    try:
        await report
    except TaskRefused:
        raise errors.invalid_token() from None
    except TaskGone:
        raise errors.task_gone() from None
    return {}


ACTIONS: Mapping[str, Action] = {
    "SendTaskSuccess": Action(
        shape_of(("taskToken", "output"), taskToken=TASK_TOKEN, output=DATA), send_task_success
    ),
    "SendTaskFailure": Action(
        shape_of(("taskToken",), taskToken=TASK_TOKEN, error=ERROR, cause=CAUSE),
        send_task_failure,
    ),
    "SendTaskHeartbeat": Action(
        shape_of(("taskToken",), taskToken=TASK_TOKEN), send_task_heartbeat
    ),
}
