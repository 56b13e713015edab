"""List executions, and tell their history."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.aws.errors import validation
from torpor.aws.shapes import Flag, OneOf, Text, Values, shape_of
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.records import MachineType
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.executions import find_execution, summary
from torpor.workflows.stepfunctions.history import describe_event
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, LONG_ARN, PAGE_SIZE, PAGE_TOKEN

PENDING_REDRIVE = "PENDING_REDRIVE"
"""A status that AWS can filter by and that no execution has here."""


async def list_executions(service: Service, values: Values) -> Answer:
    """ListExecutions of a machine, version, alias or Map Run, newest first."""
    given = [values.get("stateMachineArn"), values.get("mapRunArn")]
    if given.count(None) != 1:
        raise validation("Must provide exactly one of a StateMachine ARN or a MapRun ARN")
    scope = f"executions {given} {values.get('statusFilter')} {values.get('redriveFilter')}"
    token = service.read_page_token(scope, values.get("nextToken"))
    machine_arn, qualified = await _listed_machine(service, values.get("stateMachineArn"))
    status = values.get("statusFilter")
    if status == PENDING_REDRIVE:
        return {"executions": []}
    page = await service.ledger.executions(
        machine_arn,
        None if status is None else Status(status),
        page_size(values),
        token,
        map_run_arn=await _listed_map_run(service, values.get("mapRunArn")),
        redriven=_redriven(values),
    )
    listed = [
        summary(execution)
        for execution in page.items
        if qualified in (None, execution.machine_version_arn, execution.alias_arn)
    ]
    return present(executions=listed, nextToken=service.page_token(scope, page.next_token))


async def _listed_machine(service: Service, text: str | None) -> tuple[str | None, str | None]:
    """The machine to list executions of, and the version or alias that they must have."""
    if text is None:
        return None, None
    arn = read_arn(text, Kind.MACHINE)
    try:
        machine = await service.ledger.machine(arn.machine)
    except NotFound:
        raise errors.machine_missing(text) from None
    if machine.type is MachineType.EXPRESS:
        raise errors.wrong_machine_type()
    return arn.machine, None if arn.qualifier is None else text


async def _listed_map_run(service: Service, text: str | None) -> str | None:
    if text is None:
        return None
    arn = read_arn(text, Kind.MAP_RUN)
    try:
        await service.ledger.map_run(arn.text)
    except NotFound:
        raise errors.resource_missing(text) from None
    return text


def _redriven(values: Values) -> bool | None:
    redriven = values.get("redriveFilter")
    return None if redriven is None else redriven == "REDRIVEN"


async def get_execution_history(service: Service, values: Values) -> Answer:
    """GetExecutionHistory: pages of events in either order."""
    arn = read_arn(values["executionArn"], Kind.EXECUTION).text
    reverse = values.get("reverseOrder", False)
    scope = f"history {arn} {reverse}"
    token = service.read_page_token(scope, values.get("nextToken"))
    execution = await find_execution(service, arn)
    page = await service.ledger.history(arn, page_size(values), token, reverse)
    with_data = values.get("includeExecutionData", True)
    events = [describe_event(row, execution, with_data) for row in page.items]
    return present(events=events, nextToken=service.page_token(scope, page.next_token))


_STATUSES = OneOf((*(status.value for status in Status), PENDING_REDRIVE))

ACTIONS: Mapping[str, Action] = {
    "ListExecutions": Action(
        shape_of(
            stateMachineArn=ARN,
            statusFilter=_STATUSES,
            maxResults=PAGE_SIZE,
            nextToken=Text(1, 3_096),
            mapRunArn=LONG_ARN,
            redriveFilter=OneOf(("REDRIVEN", "NOT_REDRIVEN")),
        ),
        list_executions,
    ),
    "GetExecutionHistory": Action(
        shape_of(
            ("executionArn",),
            executionArn=LONG_ARN,
            maxResults=PAGE_SIZE,
            reverseOrder=Flag(),
            nextToken=PAGE_TOKEN,
            includeExecutionData=Flag(),
        ),
        get_execution_history,
    ),
}
