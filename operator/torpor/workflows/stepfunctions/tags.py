"""Tags of state machines and activities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torpor.aws.errors import Refused
from torpor.aws.shapes import Many, Text, Values, shape_of
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.service import Action, Answer, Service
from torpor.workflows.stepfunctions.shapes import ARN, TAGS

MOST_TAGS = 50


def check_tags(listed: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Tags by key; a tag without a key means nothing and is left out."""
    tags = {tag["key"]: tag.get("value") or "" for tag in listed if tag.get("key")}
    if len(tags) > MOST_TAGS:
        raise _too_many()
    return tags


def _too_many() -> Refused:
    return Refused("TooManyTags", f"A resource can have at most {MOST_TAGS} tags")


async def tag_resource(service: Service, values: Values) -> Answer:
    """TagResource."""
    add = check_tags(values["tags"])
    arn = _tagged(values["resourceArn"])
    try:
        present = await service.ledger.tags(arn)
        if len({**present, **add}) > MOST_TAGS:
            raise _too_many()
        await service.ledger.set_tags(arn, add, ())
    except NotFound:
        raise errors.resource_missing(arn) from None
    return {}


async def untag_resource(service: Service, values: Values) -> Answer:
    """UntagResource: keys that are not there do no harm."""
    arn = _tagged(values["resourceArn"])
    try:
        await service.ledger.set_tags(arn, {}, values["tagKeys"])
    except NotFound:
        raise errors.resource_missing(arn) from None
    return {}


async def list_tags_for_resource(service: Service, values: Values) -> Answer:
    """ListTagsForResource."""
    arn = _tagged(values["resourceArn"])
    try:
        tags = await service.ledger.tags(arn)
    except NotFound:
        raise errors.resource_missing(arn) from None
    return {"tags": [{"key": key, "value": value} for key, value in sorted(tags.items())]}


def _tagged(text: str) -> str:
    """The ARN of a thing that can have tags: versions and aliases cannot."""
    arn = read_arn(text, Kind.MACHINE, Kind.ACTIVITY)
    if arn.qualifier is not None:
        raise errors.resource_missing(text)
    return text


ACTIONS: Mapping[str, Action] = {
    "TagResource": Action(
        shape_of(("resourceArn", "tags"), resourceArn=ARN, tags=TAGS), tag_resource
    ),
    "UntagResource": Action(
        shape_of(("resourceArn", "tagKeys"), resourceArn=ARN, tagKeys=Many(Text(1, 128))),
        untag_resource,
    ),
    "ListTagsForResource": Action(
        shape_of(("resourceArn",), resourceArn=ARN), list_tags_for_resource
    ),
}
