"""Map Runs: what the distributed Maps of an execution have done, and changing how they go on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torpor.aws.errors import validation
from torpor.aws.shapes import Number, Values, shape_of
from torpor.workflows.asl.events import MapRunChanged
from torpor.workflows.asl.frontier import Status
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.records import MapRunSummary
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, LONG_ARN, PAGE_SIZE, PAGE_TOKEN
from torpor.workflows.stepfunctions.times import optional_stamp, stamp


async def describe_map_run(service: Service, values: Values) -> Answer:
    """DescribeMapRun."""
    found = await _map_run(service, values["mapRunArn"])
    counts = _counts(found)
    tolerated = found.tolerated_count
    return present(
        mapRunArn=found.arn,
        executionArn=found.execution_arn,
        status=found.status.value,
        startDate=stamp(found.started_at),
        stopDate=optional_stamp(found.stopped_at),
        maxConcurrency=found.max_concurrency,
        toleratedFailurePercentage=found.tolerated_percentage,
        toleratedFailureCount=int(tolerated) if math.isfinite(tolerated) else found.total,
        itemCounts=counts,
        executionCounts=counts,
        redriveCount=found.redrive_count,
        redriveDate=optional_stamp(found.redriven_at),
    )


def _counts(found: MapRunSummary) -> dict[str, int]:
    done = found.succeeded + found.failed
    running = found.running if found.status is Status.RUNNING else 0
    left = max(0, found.total - done - running)
    over = found.status is not Status.RUNNING
    return {
        "pending": 0 if over else left,
        "running": running,
        "succeeded": found.succeeded,
        "failed": found.failed,
        "timedOut": 0,
        "aborted": left if over else 0,
        "total": found.total,
        "resultsWritten": done if found.status is Status.SUCCEEDED else 0,
    }


async def list_map_runs(service: Service, values: Values) -> Answer:
    """ListMapRuns of an execution, all of them in pages."""
    arn = read_arn(values["executionArn"], Kind.EXECUTION).text
    scope = f"map runs {arn}"
    token = service.read_page_token(scope, values.get("nextToken"))
    try:
        await service.ledger.execution(arn)
        found = await service.ledger.map_runs(arn)
    except NotFound:
        raise errors.execution_missing(arn) from None
    first = int(token or 0)
    last = first + page_size(values)
    return present(
        mapRuns=[_listed(one) for one in found[first:last]],
        nextToken=service.page_token(scope, str(last) if last < len(found) else None),
    )


def _listed(found: MapRunSummary) -> Answer:
    label = found.arn.rpartition(":")[0].rpartition("/")[2]
    return present(
        executionArn=found.execution_arn,
        mapRunArn=found.arn,
        stateMachineArn=f"{found.machine_arn}/{label}",
        startDate=stamp(found.started_at),
        stopDate=optional_stamp(found.stopped_at),
    )


async def update_map_run(service: Service, values: Values) -> Answer:
    """UpdateMapRun: how many children run at once, and how many may fail, from now on."""
    found = await _map_run(service, values["mapRunArn"])
    if len(values) < 2:
        raise validation("At least one of the fields to update must be specified")
    if found.status is not Status.RUNNING:
        raise validation(f"Map Run is {found.status.value} and cannot be updated")
    await service.ledger.post(
        found.execution_arn,
        MapRunChanged(
            found.arn,
            values.get("maxConcurrency"),
            values.get("toleratedFailureCount"),
            values.get("toleratedFailurePercentage"),
        ),
    )
    return {}


async def _map_run(service: Service, text: str) -> MapRunSummary:
    arn = read_arn(text, Kind.MAP_RUN)
    try:
        return await service.ledger.map_run(arn.text)
    except NotFound:
        raise errors.resource_missing(text) from None


ACTIONS: Mapping[str, Action] = {
    "DescribeMapRun": Action(shape_of(("mapRunArn",), mapRunArn=LONG_ARN), describe_map_run),
    "ListMapRuns": Action(
        shape_of(("executionArn",), executionArn=ARN, maxResults=PAGE_SIZE, nextToken=PAGE_TOKEN),
        list_map_runs,
    ),
    "UpdateMapRun": Action(
        shape_of(
            ("mapRunArn",),
            mapRunArn=LONG_ARN,
            maxConcurrency=Number(0),
            toleratedFailureCount=Number(0),
            toleratedFailurePercentage=Number(0, 100, fraction=True),
        ),
        update_map_run,
    ),
}
