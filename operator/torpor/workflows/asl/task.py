"""The Task state: its argument, its dispatch, and the many ways it can end (ASL, "Task State")."""

from __future__ import annotations

from typing import Any

from torpor.expressions.values import is_number, is_whole, json_text
from torpor.workflows.asl import fault
from torpor.workflows.asl.events import (
    ActivityStarted,
    Cancel,
    Dispatch,
    TaskFailed,
    TaskSubmitted,
    TaskSucceeded,
)
from torpor.workflows.asl.failing import fail
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Frame, Phase
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.program import Task
from torpor.workflows.asl.reading import Setting, out_of_range, wrong_type
from torpor.workflows.asl.resource import Pattern, Resource
from torpor.workflows.asl.run import Run, present
from torpor.workflows.asl.scope import Json, Scope
from torpor.workflows.asl.states import effective_input
from torpor.workflows.asl.transition import check_size, finish

MAX_TASK_SECONDS = 99_999_999
"""The longest time-out or heartbeat interval that the language allows."""


def run_task(run: Run, frame: Frame, state: Task) -> None:
    """Evaluate the argument and have the task dispatched after the commit."""
    ticket = run.ticket(frame)
    waits_for_token = state.resource.pattern is Pattern.TASK_TOKEN
    extra = (
        {"Task": {"Token": run.outside.task_token(frame.id, ticket)}} if waits_for_token else None
    )
    scope = run.scope(frame, state, extra=extra)
    data = effective_input(state, scope)
    argument = data if state.parameters is None else state.parameters.evaluate(scope, data)
    frame.argument = frame.input if argument is frame.input.value else Payload(argument)
    frame.timeout = _interval(state.timeout, scope, data)
    frame.heartbeat = _interval(state.heartbeat, scope, data)
    frame.phase = Phase.TASK
    activity = state.resource.service == "activity"
    frame.due = None if frame.timeout is None or activity else run.now + frame.timeout
    _record_scheduled(run, frame, state.resource, _credentials(state, scope, data))
    run.step.effects.append(dispatch_of(frame, state))


def dispatch_of(frame: Frame, state: Task) -> Dispatch:
    """The dispatch of a frame in phase TASK: the same one, whenever it is repeated."""
    assert frame.argument is not None, "a frame in phase TASK has its argument"
    return Dispatch(
        frame.id, frame.ticket, state.resource, frame.argument, frame.timeout, frame.heartbeat
    )


def _interval(setting: Setting | None, scope: Scope, data: Json) -> float | None:
    if setting is None:
        return None
    value = setting.read(scope, data)
    whole = is_number(value) and (is_whole(value) or not setting.by_path)
    if whole and 0 < value <= MAX_TASK_SECONDS:
        return float(value)
    if setting.by_path:
        cause = (
            f"The {setting.name} field refers to value {json_text(value)} which is not a valid "
            f"integer: {setting.text}"
        )
        raise Fault(fault.RUNTIME, cause)
    if is_number(value):
        cause = f"{setting.name} must be between 1 and {MAX_TASK_SECONDS}: {value}"
        raise out_of_range(setting, cause)
    raise wrong_type(setting, "number", value)


def _credentials(state: Task, scope: Scope, data: Json) -> dict[str, Json]:
    """The detail of a task that runs under a role of its own (ASL, "Credentials")."""
    if state.credentials is None:
        return {}
    credentials = state.credentials.evaluate(scope, data)
    return {"taskCredentials": {"roleArn": credentials.get("RoleArn")}}


def _record_scheduled(run: Run, frame: Frame, resource: Resource, details: dict[str, Any]) -> None:
    assert frame.argument is not None, "the argument is evaluated before the task is scheduled"
    if frame.timeout is not None:
        details["timeoutInSeconds"] = int(frame.timeout)
    if resource.direct and resource.service != "job":
        if resource.service == "activity" and frame.heartbeat is not None:
            details["heartbeatInSeconds"] = int(frame.heartbeat)
        details.update(resource=resource.text, input=frame.argument)
    else:
        if frame.heartbeat is not None:
            details["heartbeatInSeconds"] = int(frame.heartbeat)
        details.update(_of(resource), region=resource.region, parameters=frame.argument)
    run.event(frame, _name(resource, "Scheduled"), details)
    if resource.service != "activity":
        run.event(frame, _name(resource, "Started"), _started(resource))


def _started(resource: Resource) -> dict[str, Any]:
    return {} if resource.direct and resource.service == "lambda" else _of(resource)


def _of(resource: Resource) -> dict[str, Any]:
    return {
        "resourceType": resource.service,
        "resource": f"{resource.action}{resource.pattern.value}",
    }


def _name(resource: Resource, ending: str) -> str:
    if resource.direct and resource.service == "lambda":
        return f"LambdaFunction{ending}"
    return f"Activity{ending}" if resource.service == "activity" else f"Task{ending}"


def task_submitted(run: Run, frame: Frame, state: Task, event: TaskSubmitted) -> None:
    """The service accepted the job or callback task: from now on it is not dispatched again."""
    if frame.phase is not Phase.TASK:
        return
    frame.phase = Phase.TOKEN
    run.frontier.touched.add(frame.id)
    run.event(frame, "TaskSubmitted", {**_of(state.resource), "output": event.output})


def activity_started(run: Run, frame: Frame, state: Task, event: ActivityStarted) -> None:
    """A worker has the task: its time-out begins now."""
    if frame.phase is not Phase.TASK:
        return
    frame.phase = Phase.TOKEN
    frame.due = None if frame.timeout is None else run.now + frame.timeout
    run.frontier.touched.add(frame.id)
    details = {} if event.worker is None else {"workerName": event.worker}
    run.event(frame, "ActivityStarted", details)


def task_succeeded(run: Run, frame: Frame, state: Task, event: TaskSucceeded) -> None:
    """The task's result: select, merge, go on."""
    resource = state.resource
    try:
        check_size(run, event.output, resource.text if resource.direct else resource.service)
    except Fault as too_large:
        _end_badly(run, frame, resource, "Failed", too_large)
        return
    details: dict[str, Any] = {"output": event.output}
    if not resource.direct or resource.service == "job":
        details.update(_of(resource))
    run.event(frame, _name(resource, "Succeeded"), details)
    scope = run.scope(frame, state)
    result = event.output.value
    if state.result_selector is not None:
        result = state.result_selector.evaluate(scope, result)
    finish(run, frame, state, scope, result)


def task_failed(run: Run, frame: Frame, state: Task, event: TaskFailed) -> None:
    """The task's error."""
    _end_badly(run, frame, state.resource, "Failed", Fault(event.error, event.cause))


def task_timed_out(run: Run, frame: Frame, state: Task, error: str) -> None:
    """The task took longer than TimeoutSeconds, or missed a heartbeat."""
    run.step.effects.append(Cancel(frame.id, frame.ticket))
    _end_badly(run, frame, state.resource, "TimedOut", Fault(error))


def _end_badly(run: Run, frame: Frame, resource: Resource, ending: str, failure: Fault) -> None:
    details = present(error=failure.error, cause=failure.cause)
    if not resource.direct or resource.service == "job":
        details.update(_of(resource))
    run.event(frame, _name(resource, ending), details)
    frame.due = None
    fail(run, frame, failure)
