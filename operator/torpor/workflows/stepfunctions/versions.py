"""Published versions of state machines: revisions that never change."""

from __future__ import annotations

from collections.abc import Mapping

from torpor.aws.errors import validation
from torpor.aws.shapes import Text, Values, shape_of
from torpor.workflows.ledger.base import NotFound
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Arn, Kind, read_arn
from torpor.workflows.stepfunctions.machine_access import (
    active_machine,
    check_unmanaged,
    check_unmanaged_arn,
)
from torpor.workflows.stepfunctions.machines import INITIAL, publish, shown_revision, stale_revision
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    page_size,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, LONG_ARN, PAGE_SIZE, PAGE_TOKEN
from torpor.workflows.stepfunctions.times import stamp

_ALL = 1_000


async def publish_state_machine_version(service: Service, values: Values) -> Answer:
    """PublishStateMachineVersion: the same revision again is the same version."""
    machine = await active_machine(service, values["stateMachineArn"])
    check_unmanaged(machine)
    wanted = values.get("revisionId")
    current = shown_revision(machine) or INITIAL
    if wanted is not None and wanted not in (current, machine.revision_id):
        raise stale_revision(wanted, current)
    version = await publish(service, machine, values.get("description"))
    return {
        "stateMachineVersionArn": version.arn,
        "creationDate": stamp(version.created_at),
    }


async def list_state_machine_versions(service: Service, values: Values) -> Answer:
    """ListStateMachineVersions, newest first."""
    arn = read_arn(values["stateMachineArn"], Kind.MACHINE)
    scope = f"versions {arn.text}"
    token = service.read_page_token(scope, values.get("nextToken"))
    try:
        page = await service.ledger.versions(arn.text, page_size(values), token)
    except NotFound:
        return {"stateMachineVersions": []}
    listed = [
        {"stateMachineVersionArn": version.arn, "creationDate": stamp(version.created_at)}
        for version in page.items
    ]
    return present(
        stateMachineVersions=listed, nextToken=service.page_token(scope, page.next_token)
    )


async def delete_state_machine_version(service: Service, values: Values) -> Answer:
    """DeleteStateMachineVersion: refused while an alias routes to it."""
    arn = read_arn(values["stateMachineVersionArn"], Kind.MACHINE)
    if not arn.is_version:
        raise validation(f"The ARN is not that of a state machine version: '{arn.text}'")
    await check_unmanaged_arn(service, arn.machine)
    names = await _aliases_of(service, arn)
    if names:
        raise errors.conflict(
            "Version to be deleted must not be referenced by an alias. "
            f"Current list of aliases referencing this version: [{', '.join(names)}]"
        )
    try:
        await service.ledger.delete_version(arn.text)
    except NotFound:
        return {}
    return {}


async def _aliases_of(service: Service, version: Arn) -> list[str]:
    names: list[str] = []
    token: str | None = None
    while True:
        try:
            page = await service.ledger.aliases(version.machine, _ALL, token)
        except NotFound:
            return names
        names += [
            alias.name
            for alias in page.items
            if any(target == version.text for target, _ in alias.routing)
        ]
        token = page.next_token
        if token is None:
            return names


ACTIONS: Mapping[str, Action] = {
    "PublishStateMachineVersion": Action(
        shape_of(
            ("stateMachineArn",),
            stateMachineArn=ARN,
            revisionId=Text(),
            description=Text(0, 256),
        ),
        publish_state_machine_version,
    ),
    "ListStateMachineVersions": Action(
        shape_of(
            ("stateMachineArn",), stateMachineArn=ARN, maxResults=PAGE_SIZE, nextToken=PAGE_TOKEN
        ),
        list_state_machine_versions,
    ),
    "DeleteStateMachineVersion": Action(
        shape_of(("stateMachineVersionArn",), stateMachineVersionArn=LONG_ARN),
        delete_state_machine_version,
    ),
}
