"""Start, stop, redrive, describe and list executions, and tell their history."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torpor.aws.errors import Refused, validation
from torpor.aws.shapes import Text, Values, shape_of
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import EMPTY, Payload
from torpor.workflows.engine.base import NotRedrivable, Throttled
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.records import Execution, MachineType
from torpor.workflows.request_rules import check_name
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import (
    Kind,
    execution_arn,
    express_arn,
    map_run_of,
    read_arn,
)
from torpor.workflows.stepfunctions.payloads import read_payload
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    present,
)
from torpor.workflows.stepfunctions.shapes import (
    ARN,
    CAUSE,
    DATA,
    ERROR,
    INCLUDED,
    LONG_ARN,
    NAME,
    TRACE,
)
from torpor.workflows.stepfunctions.targets import find_target
from torpor.workflows.stepfunctions.times import optional_stamp, stamp
from torpor.workflows.targets import Target

REDRIVABLE_SECONDS = 14 * 86_400.0
"""How long after its end an execution can be redriven (API reference, "RedriveExecution")."""
BILLED_STEP_MILLISECONDS = 100
BILLED_MEMORY_MB = 64


async def start_execution(service: Service, values: Values) -> Answer:
    """StartExecution: durable when answered; express executions run in memory."""
    execution, type = await _new_execution(service, values)
    if type is MachineType.EXPRESS:
        started = await _run_express(service, execution, wait=False)
    else:
        try:
            started = await service.engine.start(execution)
        except AlreadyExists:
            raise errors.execution_exists(execution.arn) from None
        except NotFound:
            raise errors.machine_missing(execution.machine_arn) from None
    return {"executionArn": started.arn, "startDate": stamp(started.started_at)}


async def start_sync_execution(service: Service, values: Values) -> Answer:
    """StartSyncExecution: runs an express execution and answers with its end."""
    execution, type = await _new_execution(service, values)
    if type is not MachineType.EXPRESS:
        raise errors.wrong_machine_type()
    ended = await _run_express(service, execution, wait=True)
    stopped_at = ended.started_at if ended.stopped_at is None else ended.stopped_at
    return present(
        executionArn=ended.arn,
        stateMachineArn=ended.machine_arn,
        name=ended.name,
        startDate=stamp(ended.started_at),
        stopDate=stamp(stopped_at),
        status=ended.status.value,
        error=ended.error,
        cause=ended.cause,
        **_data(ended, values),
        traceHeader=ended.trace_header,
        billingDetails=_bill(stopped_at - ended.started_at),
    )


async def _run_express(service: Service, execution: Execution, *, wait: bool) -> Execution:
    try:
        return await service.engine.run_express(execution, wait=wait)
    except NotFound:
        raise errors.machine_missing(execution.machine_arn) from None
    except Throttled as refused:
        raise Refused("ThrottlingException", str(refused)) from None


def _bill(seconds: float) -> Answer:
    steps = max(1, math.ceil(seconds * 1_000 / BILLED_STEP_MILLISECONDS))
    return {
        "billedMemoryUsedInMB": BILLED_MEMORY_MB,
        "billedDurationInMilliseconds": steps * BILLED_STEP_MILLISECONDS,
    }


async def _new_execution(service: Service, values: Values) -> tuple[Execution, MachineType]:
    target = await find_target(service, values["stateMachineArn"])
    name = values.get("name") or service.outside.uuid()
    if (refusal := check_name(name)) is not None:
        raise Refused(refusal.code, refusal.message)
    payload = _input(service, values)
    arn = _arn(service, target, name)
    machine = target.machine
    execution = Execution(
        arn,
        name,
        machine.arn,
        machine.revision_id,
        service.ledger.shard_of(arn),
        Status.RUNNING,
        payload,
        service.outside.now(),
        machine_version_arn=target.version_arn,
        alias_arn=target.alias_arn,
        trace_header=values.get("traceHeader"),
    )
    return execution, machine.type


def _input(service: Service, values: Values) -> Payload:
    text = values.get("input")
    if text is None:
        return EMPTY
    return read_payload(text, "input", service.settings.payload_bytes, errors.invalid_input)


def _arn(service: Service, target: Target, name: str) -> str:
    machine = target.machine
    if machine.type is MachineType.EXPRESS:
        return express_arn(machine.arn, name, service.outside.uuid())
    return execution_arn(machine.arn, name)


async def stop_execution(service: Service, values: Values) -> Answer:
    """StopExecution; of one that has ended, the time of its end."""
    execution = await find_execution(service, values["executionArn"])
    if execution.stopped_at is not None:
        return {"stopDate": stamp(execution.stopped_at)}
    if map_run_of(execution.arn) is not None:
        raise validation("A child of a Map Run is stopped with the execution of its Map Run")
    try:
        stopped = await service.engine.stop(execution.arn, values.get("error"), values.get("cause"))
    except NotFound:
        raise errors.execution_missing(execution.arn) from None
    return {"stopDate": stamp(stopped)}


async def redrive_execution(service: Service, values: Values) -> Answer:
    """RedriveExecution: what succeeded is kept, what did not runs again."""
    execution = await find_execution(service, values["executionArn"])
    reason = unredrivable(execution, service.outside.now())
    if reason is not None:
        raise Refused("ExecutionNotRedrivable", reason)
    try:
        redriven = await service.engine.redrive(execution.arn)
    except NotRedrivable as refused:
        raise Refused("ExecutionNotRedrivable", str(refused)) from None
    except NotFound:
        raise errors.execution_missing(execution.arn) from None
    return {"redriveDate": stamp(redriven)}


def unredrivable(execution: Execution, now: float) -> str | None:
    """Why an execution cannot be redriven, None when it can."""
    if execution.status in (Status.RUNNING, Status.SUCCEEDED):
        return f"Execution is {execution.status.value} and cannot be redriven"
    if execution.stopped_at is not None and now > execution.stopped_at + REDRIVABLE_SECONDS:
        return "Execution redrivable period exceeded"
    if map_run_of(execution.arn) is not None:
        return "Execution is a child of a Map Run and is redriven with its parent"
    return None


async def describe_execution(service: Service, values: Values) -> Answer:
    """DescribeExecution."""
    execution = await find_execution(service, values["executionArn"])
    reason = unredrivable(execution, service.outside.now())
    return present(
        **summary(execution),
        **_data(execution, values),
        error=execution.error,
        cause=execution.cause,
        traceHeader=execution.trace_header,
        redriveStatus=_redrive_status(execution, reason),
        redriveStatusReason=reason,
    )


def _redrive_status(execution: Execution, reason: str | None) -> str:
    if reason is None:
        return "REDRIVABLE"
    failed = execution.status not in (Status.RUNNING, Status.SUCCEEDED)
    of_map_run = map_run_of(execution.arn) is not None
    return "REDRIVABLE_BY_MAP_RUN" if failed and of_map_run else "NOT_REDRIVABLE"


def summary(execution: Execution) -> Answer:
    """What both DescribeExecution and ListExecutions tell of an execution."""
    return present(
        executionArn=execution.arn,
        stateMachineArn=execution.machine_arn,
        name=execution.name,
        status=execution.status.value,
        startDate=stamp(execution.started_at),
        stopDate=optional_stamp(execution.stopped_at),
        mapRunArn=map_run_of(execution.arn),
        stateMachineVersionArn=execution.machine_version_arn,
        stateMachineAliasArn=execution.alias_arn,
        redriveCount=execution.redrive_count,
        redriveDate=optional_stamp(execution.redriven_at),
    )


def _data(execution: Execution, values: Values) -> Answer:
    """Input and output, unless only metadata is asked for."""
    if values.get("includedData") == "METADATA_ONLY":
        data = {"inputDetails": {"included": False}}
        return data if execution.output is None else {**data, "outputDetails": {"included": False}}
    output = execution.output
    return present(
        input=execution.input.text,
        inputDetails={"included": True},
        output=None if output is None else output.text,
        outputDetails=None if output is None else {"included": True},
    )


async def find_execution(service: Service, text: str) -> Execution:
    """The execution with this ARN."""
    arn = read_arn(text, Kind.EXECUTION)
    try:
        return await service.ledger.execution(arn.text)
    except NotFound:
        raise errors.execution_missing(text) from None


_START = {"stateMachineArn": ARN, "name": NAME, "input": DATA, "traceHeader": TRACE}

ACTIONS: Mapping[str, Action] = {
    "StartExecution": Action(shape_of(("stateMachineArn",), **_START), start_execution),
    "StartSyncExecution": Action(
        shape_of(("stateMachineArn",), **_START, includedData=INCLUDED), start_sync_execution
    ),
    "StopExecution": Action(
        shape_of(("executionArn",), executionArn=LONG_ARN, error=ERROR, cause=CAUSE),
        stop_execution,
    ),
    "RedriveExecution": Action(
        shape_of(("executionArn",), executionArn=LONG_ARN, clientToken=Text(1, 64, "[!-~]+")),
        redrive_execution,
    ),
    "DescribeExecution": Action(
        shape_of(("executionArn",), executionArn=LONG_ARN, includedData=INCLUDED),
        describe_execution,
    ),
}
