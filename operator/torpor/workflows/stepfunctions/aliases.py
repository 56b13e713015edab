"""Aliases: names that share starts out between one or two versions of a state machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torpor.aws.errors import Refused, validation
from torpor.aws.shapes import Group, Many, Number, Text, Values, shape_of
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.records import Alias
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Arn, Kind, read_arn
from torpor.workflows.stepfunctions.machine_access import (
    active_machine,
    check_unmanaged,
    check_unmanaged_arn,
)
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, PAGE_SIZE, PAGE_TOKEN
from torpor.workflows.stepfunctions.times import stamp

_NAME = Text(1, 80, r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$")


async def create_state_machine_alias(service: Service, values: Values) -> Answer:
    """CreateStateMachineAlias: the same alias again is answered like the first time."""
    routing, machine_arn = await _routing(service, values["routingConfiguration"])
    name, now = values["name"], service.outside.now()
    check_unmanaged(await active_machine(service, machine_arn))
    alias = Alias(
        f"{machine_arn}:{name}", name, machine_arn, values.get("description"), routing, now, now
    )
    found = await _created(service, alias)
    if (found.description, found.routing) != (alias.description, alias.routing):
        raise errors.conflict(
            "Failed to create alias because an alias with the same name and a different routing "
            "configuration already exists."
        )
    return {"stateMachineAliasArn": found.arn, "creationDate": stamp(found.created_at)}


async def _created(service: Service, alias: Alias) -> Alias:
    """The alias after creation; the one that is there already, whatever it is."""
    try:
        return await service.ledger.create_alias(alias)
    except AlreadyExists:
        return await _alias(service, alias.arn)
    except NotFound:
        raise errors.machine_missing(alias.machine_arn) from None


async def _routing(
    service: Service, listed: Sequence[Mapping[str, Any]]
) -> tuple[tuple[tuple[str, int], ...], str]:
    """The checked routes, and the machine that all of them belong to."""
    routes = tuple((route["stateMachineVersionArn"], int(route["weight"])) for route in listed)
    texts = [text for text, _ in routes]
    received = f"Received: [{', '.join(texts)}]"
    arns = [read_arn(text, Kind.MACHINE) for text in texts]
    if not all(arn.is_version for arn in arns):
        raise _bad_routing("contain state machine version ARNs", received)
    if len(set(texts)) < len(texts):
        raise _bad_routing("contain distinct state machine version ARNs", received)
    if len({arn.machine for arn in arns}) > 1:
        raise _bad_routing("contain versions of one state machine", received)
    weights = [weight for _, weight in routes]
    if sum(weights) != 100:
        raise validation(
            f"Sum of routing configuration weights must equal 100. Received: {weights}"
        )
    for text in texts:
        try:
            await service.ledger.version(text)
        except NotFound:
            raise errors.reference_missing() from None
    return routes, arns[0].machine


def _bad_routing(rule: str, received: str) -> Refused:
    return validation(f"Routing configuration must {rule}. {received}")


async def update_state_machine_alias(service: Service, values: Values) -> Answer:
    """UpdateStateMachineAlias: its description, its routes, or both."""
    alias = await _alias(service, values["stateMachineAliasArn"])
    if not values.keys() & {"description", "routingConfiguration"}:
        raise validation("Either the description or the routing configuration is needed")
    await check_unmanaged_arn(service, alias.machine_arn)
    routing = alias.routing
    if "routingConfiguration" in values:
        routing, machine_arn = await _routing(service, values["routingConfiguration"])
        if machine_arn != alias.machine_arn:
            raise validation(
                "Routing configuration must contain versions of the alias's state machine."
            )
    changed = replace(
        alias,
        description=values.get("description", alias.description),
        routing=routing,
        updated_at=service.outside.now(),
    )
    try:
        kept = await service.ledger.change_alias(changed)
    except NotFound:
        raise errors.reference_missing() from None
    return {"updateDate": stamp(kept.updated_at)}


async def describe_state_machine_alias(service: Service, values: Values) -> Answer:
    """DescribeStateMachineAlias."""
    alias = await _alias(service, values["stateMachineAliasArn"])
    return present(
        stateMachineAliasArn=alias.arn,
        name=alias.name,
        description=alias.description,
        routingConfiguration=[
            {"stateMachineVersionArn": target, "weight": weight} for target, weight in alias.routing
        ],
        creationDate=stamp(alias.created_at),
        updateDate=stamp(alias.updated_at),
    )


async def list_state_machine_aliases(service: Service, values: Values) -> Answer:
    """ListStateMachineAliases; for a version's ARN, the aliases that route to it."""
    arn = read_arn(values["stateMachineArn"], Kind.MACHINE)
    scope = f"aliases {arn.text}"
    token = service.read_page_token(scope, values.get("nextToken"))
    try:
        await service.ledger.machine(arn.machine)
        page = await service.ledger.aliases(arn.machine, page_size(values), token)
    except NotFound:
        raise errors.machine_missing(arn.text) from None
    listed = [
        {"stateMachineAliasArn": alias.arn, "creationDate": stamp(alias.created_at)}
        for alias in page.items
        if arn.qualifier is None or any(target == arn.text for target, _ in alias.routing)
    ]
    return present(stateMachineAliases=listed, nextToken=service.page_token(scope, page.next_token))


async def delete_state_machine_alias(service: Service, values: Values) -> Answer:
    """DeleteStateMachineAlias: of one that is not there, too."""
    arn = _alias_arn(values["stateMachineAliasArn"])
    await check_unmanaged_arn(service, arn.machine)
    try:
        await service.ledger.delete_alias(arn.text)
    except NotFound:
        return {}
    return {}


async def _alias(service: Service, text: str) -> Alias:
    arn = _alias_arn(text)
    try:
        return await service.ledger.alias(arn.text)
    except NotFound:
        raise errors.reference_missing() from None


def _alias_arn(text: str) -> Arn:
    arn = read_arn(text, Kind.MACHINE)
    if arn.qualifier is None or arn.is_version:
        raise validation(f"The ARN is not that of a state machine alias: '{text}'")
    return arn


def _shown(route: Any) -> str:
    """A route as messages quote it."""
    if not isinstance(route, dict):
        return str(route)
    arn, weight = route.get("stateMachineVersionArn"), route.get("weight")
    return f"RoutingConfigurationListItem(stateMachineVersionArn={arn}, weight={weight})"


_ROUTES = Many(
    Group(
        {"stateMachineVersionArn": ARN, "weight": Number(0, 100)},
        ("stateMachineVersionArn", "weight"),
    ),
    1,
    2,
    _shown,
)
_DESCRIPTION = Text(0, 256)
_ONE = shape_of(("stateMachineAliasArn",), stateMachineAliasArn=ARN)

ACTIONS: Mapping[str, Action] = {
    "CreateStateMachineAlias": Action(
        shape_of(
            ("name", "routingConfiguration"),
            name=_NAME,
            description=_DESCRIPTION,
            routingConfiguration=_ROUTES,
        ),
        create_state_machine_alias,
    ),
    "UpdateStateMachineAlias": Action(
        shape_of(
            ("stateMachineAliasArn",),
            stateMachineAliasArn=ARN,
            description=_DESCRIPTION,
            routingConfiguration=_ROUTES,
        ),
        update_state_machine_alias,
    ),
    "DescribeStateMachineAlias": Action(_ONE, describe_state_machine_alias),
    "ListStateMachineAliases": Action(
        shape_of(
            ("stateMachineArn",), stateMachineArn=ARN, maxResults=PAGE_SIZE, nextToken=PAGE_TOKEN
        ),
        list_state_machine_aliases,
    ),
    "DeleteStateMachineAlias": Action(_ONE, delete_state_machine_alias),
}
