"""Activities: create, describe, list and delete them, and take their tasks."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.aws.errors import Refused
from torpor.aws.shapes import Values, shape_of
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.records import Activity
from torpor.workflows.request_rules import check_name
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, NAME, PAGE_SIZE, PAGE_TOKEN, TAGS
from torpor.workflows.stepfunctions.tags import check_tags
from torpor.workflows.stepfunctions.times import stamp


async def create_activity(service: Service, values: Values) -> Answer:
    """CreateActivity: the same name again is the same activity."""
    name = values["name"]
    if (refusal := check_name(name)) is not None:
        raise Refused(refusal.code, refusal.message)
    tags = check_tags(values.get("tags", ()))
    made = Activity(service.settings.place.activity(name), name, service.outside.now())
    kept = await service.ledger.put_activity(made, tags)
    return {"activityArn": kept.arn, "creationDate": stamp(kept.created_at)}


async def describe_activity(service: Service, values: Values) -> Answer:
    """DescribeActivity."""
    return _described(await _activity(service, values["activityArn"]))


async def list_activities(service: Service, values: Values) -> Answer:
    """ListActivities, by name."""
    token = service.read_page_token("activities", values.get("nextToken"))
    page = await service.ledger.activities(page_size(values), token)
    return present(
        activities=[_described(activity) for activity in page.items],
        nextToken=service.page_token("activities", page.next_token),
    )


async def delete_activity(service: Service, values: Values) -> Answer:
    """DeleteActivity: of one that is not there, too."""
    arn = read_arn(values["activityArn"], Kind.ACTIVITY)
    try:
        await service.ledger.delete_activity(arn.text)
    except NotFound:
        return {}
    return {}


async def get_activity_task(service: Service, values: Values) -> Answer:
    """GetActivityTask: waits up to a minute; an answer without token means that none came."""
    activity = await _activity(service, values["activityArn"])
    found = await service.engine.poll_activity(
        activity.arn, values.get("workerName"), service.settings.poll_seconds
    )
    if found is None:
        return {}
    token, payload = found
    return {"taskToken": token, "input": payload.text}


async def _activity(service: Service, text: str) -> Activity:
    arn = read_arn(text, Kind.ACTIVITY)
    try:
        return await service.ledger.activity(arn.text)
    except NotFound:
        raise errors.activity_missing(text) from None


def _described(activity: Activity) -> Answer:
    return {
        "activityArn": activity.arn,
        "name": activity.name,
        "creationDate": stamp(activity.created_at),
    }


_ONE = shape_of(("activityArn",), activityArn=ARN)

ACTIONS: Mapping[str, Action] = {
    "CreateActivity": Action(shape_of(("name",), name=NAME, tags=TAGS), create_activity),
    "DescribeActivity": Action(_ONE, describe_activity),
    "ListActivities": Action(shape_of(maxResults=PAGE_SIZE, nextToken=PAGE_TOKEN), list_activities),
    "DeleteActivity": Action(_ONE, delete_activity),
    "GetActivityTask": Action(
        shape_of(("activityArn",), activityArn=ARN, workerName=NAME), get_activity_task
    ),
}
