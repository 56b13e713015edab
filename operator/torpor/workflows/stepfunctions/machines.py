"""Create, change, describe, list and delete state machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torpor.aws.errors import Refused, validation
from torpor.aws.shapes import Flag, Group, Many, OneOf, Text, Values, shape_of
from torpor.workflows.admission import check_admission
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate import create_error
from torpor.workflows.beside import check_beside
from torpor.workflows.ledger.base import AlreadyExists, NotFound
from torpor.workflows.records import Machine, MachineStatus, MachineType, MachineVersion, Options
from torpor.workflows.request_rules import (
    LOG_LEVELS,
    Refusal,
    check_logging,
    check_name,
    check_version_description,
)
from torpor.workflows.stepfunctions import errors
from torpor.workflows.stepfunctions.arns import Kind, read_arn
from torpor.workflows.stepfunctions.machine_access import (
    active_machine,
    check_unmanaged,
    machine_there,
)
from torpor.workflows.stepfunctions.service import (
    Action,
    Answer,
    Service,
    present,
)
from torpor.workflows.stepfunctions.shapes import ARN, DEFINITION, NAME, TAGS
from torpor.workflows.stepfunctions.tags import check_tags
from torpor.workflows.stepfunctions.times import stamp

MOST_DESTINATION_ARN = 256

INITIAL = "INITIAL"
"""What requests call the revision that a machine was created with."""

TYPE = OneOf(("STANDARD", "EXPRESS"))
LOGGING = Group(
    {
        "level": OneOf(LOG_LEVELS),
        "includeExecutionData": Flag(),
        "destinations": Many(
            Group({"cloudWatchLogsLogGroup": Group({"logGroupArn": Text(1, MOST_DESTINATION_ARN)})})
        ),
    }
)
TRACING = Group({"enabled": Flag()})
_SHARED: Mapping[str, Any] = {
    "loggingConfiguration": LOGGING,
    "tracingConfiguration": TRACING,
    "publish": Flag(),
    "versionDescription": Text(0, 256),
    "encryptionConfiguration": Group(
        {"type": OneOf(("AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"))}, ("type",)
    ),
}


async def create_state_machine(service: Service, values: Values) -> Answer:
    """CreateStateMachine: the same definition again is answered like the first time."""
    _check(check_version_description(values.get("publish"), values.get("versionDescription")))
    _check(check_name(values["name"]))
    _check(check_logging(values.get("loggingConfiguration")))
    _check_encryption(values)
    tags = check_tags(values.get("tags", ()))
    type = MachineType(values.get("type", "STANDARD"))
    await check_text(values["definition"], type)
    machine = _made(service, values, type)
    kept = await _stored(service, machine, tags)
    version = await _published(service, kept, values)
    return present(
        stateMachineArn=kept.arn,
        creationDate=stamp(kept.created_at),
        stateMachineVersionArn=version and version.arn,
    )


def _made(service: Service, values: Values, type: MachineType) -> Machine:
    now = service.outside.now()
    return Machine(
        service.settings.place.machine(values["name"]),
        values["name"],
        type,
        values["definition"],
        values["roleArn"],
        now,
        now,
        service.outside.uuid(),
        options=Options(
            namespace=service.settings.namespace,
            payload_bytes=service.settings.payload_bytes,
            logging=values.get("loggingConfiguration", {}),
            tracing=values.get("tracingConfiguration", {}),
        ),
    )


async def _stored(service: Service, machine: Machine, tags: Mapping[str, str]) -> Machine:
    """The machine after creation; the one that is there already when it is the same, as it is."""
    try:
        return await service.ledger.put_machine(machine, tags=tags)
    except AlreadyExists:
        found = await machine_there(service, machine.arn)
    if found.status is MachineStatus.DELETING:
        raise errors.machine_deleting(machine.arn)
    if _identity(found) != _identity(machine):
        raise errors.machine_exists(machine.arn)
    check_unmanaged(found)
    return found


def _identity(machine: Machine) -> tuple[object, ...]:
    """What CreateStateMachine compares to find out whether a request is a repeated one."""
    return machine.definition, machine.type, logging_of(machine), tracing_of(machine)


async def update_state_machine(service: Service, values: Values) -> Answer:
    """UpdateStateMachine: a new revision, unless nothing changes."""
    changed = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration")
    if not any(name in values for name in (*changed, "encryptionConfiguration")):
        raise Refused(
            "MissingRequiredParameter",
            "Either the definition, the role ARN, the LoggingConfiguration, the "
            "TracingConfiguration or the EncryptionConfiguration must be specified",
        )
    _check(check_version_description(values.get("publish"), values.get("versionDescription")))
    _check(check_logging(values.get("loggingConfiguration")))
    _check_encryption(values)
    machine = await active_machine(service, values["stateMachineArn"])
    check_unmanaged(machine)
    if "definition" in values:
        await check_text(values["definition"], machine.type)
    updated = _updated(machine, values)
    if updated != machine:
        now, revision = service.outside.now(), service.outside.uuid()
        updated = replace(updated, updated_at=now, revision_id=revision)
        try:
            machine = await service.ledger.put_machine(updated, machine.revision_id)
        except AlreadyExists:
            raise changed_meanwhile(machine.arn) from None
        except NotFound:
            raise errors.machine_deleting(machine.arn) from None
    version = await _published(service, machine, values)
    return present(
        updateDate=stamp(machine.updated_at),
        revisionId=shown_revision(machine),
        stateMachineVersionArn=version and version.arn,
    )


def _updated(machine: Machine, values: Values) -> Machine:
    options = replace(
        machine.options,
        logging=values.get("loggingConfiguration", machine.options.logging),
        tracing=values.get("tracingConfiguration", machine.options.tracing),
    )
    return replace(
        machine,
        definition=values.get("definition", machine.definition),
        role_arn=values.get("roleArn", machine.role_arn),
        options=options,
    )


async def _published(service: Service, machine: Machine, values: Values) -> MachineVersion | None:
    if not values.get("publish"):
        return None
    return await publish(service, machine, values.get("versionDescription"))


async def publish(service: Service, machine: Machine, description: str | None) -> MachineVersion:
    """Publish a revision; refused when another one came in between."""
    try:
        return await service.ledger.publish(machine.arn, machine.revision_id, description)
    except NotFound:
        raise errors.machine_missing(machine.arn) from None
    except AlreadyExists:
        current = shown_revision(await service.ledger.machine(machine.arn))
        raise stale_revision(machine.revision_id, current or INITIAL) from None


def stale_revision(wanted: str, current: str) -> Refused:
    """The refusal to publish a revision that is not the latest."""
    return errors.conflict(
        f"Failed to publish the State Machine version for revision {wanted}. "
        f"The current State Machine revision is {current}."
    )


def changed_meanwhile(arn: str) -> Refused:
    """The refusal to change a machine that another request changed since it was looked at."""
    return errors.conflict(f"State Machine {arn} was changed by another request: try again")


async def delete_state_machine(service: Service, values: Values) -> Answer:
    """DeleteStateMachine: of one that is not there, too."""
    arn = read_arn(values["stateMachineArn"], Kind.MACHINE)
    if arn.qualifier is not None:
        raise validation(f"The state machine ARN must not be qualified: '{arn.text}'")
    try:
        machine = await service.ledger.machine(arn.text)
        check_unmanaged(machine)
        await service.ledger.delete_machine(arn.text, machine.revision_id)
    except AlreadyExists:
        raise changed_meanwhile(arn.text) from None
    except NotFound:
        return {}
    return {}


async def check_text(definition: str, type: MachineType) -> None:
    """Refuse a definition that has errors, or a resource that the engine cannot run."""
    problems = await check_beside(definition, lambda: check_admission(definition, type))
    if problems:
        raise Refused(*create_error(problems, definition))


def shown_revision(machine: Machine) -> str | None:
    """The revision's id; the first one of a machine has none in AWS's answers."""
    return None if machine.updated_at == machine.created_at else machine.revision_id


def logging_of(machine: Machine) -> dict[str, Json]:
    """The logging configuration with AWS's defaults."""
    return {"level": "OFF", "includeExecutionData": False, **machine.options.logging}


def tracing_of(machine: Machine) -> dict[str, Json]:
    """The tracing configuration with AWS's default."""
    return {"enabled": False, **machine.options.tracing}


def _check(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Refused(refusal.code, refusal.message)


def _check_encryption(values: Values) -> None:
    """Data is encrypted by the database and its disks: there are no keys to manage here."""
    configuration = values.get("encryptionConfiguration") or {}
    if configuration.get("type", "AWS_OWNED_KEY") != "AWS_OWNED_KEY":
        raise Refused(
            "InvalidEncryptionConfiguration",
            "Invalid Encryption Configuration: customer managed keys are not supported",
        )


ACTIONS: Mapping[str, Action] = {
    "CreateStateMachine": Action(
        shape_of(
            ("name", "definition", "roleArn"),
            name=NAME,
            definition=DEFINITION,
            roleArn=ARN,
            type=TYPE,
            tags=TAGS,
            **_SHARED,
        ),
        create_state_machine,
    ),
    "UpdateStateMachine": Action(
        shape_of(
            ("stateMachineArn",),
            stateMachineArn=ARN,
            definition=DEFINITION,
            roleArn=ARN,
            **_SHARED,
        ),
        update_state_machine,
    ),
    "DeleteStateMachine": Action(
        shape_of(("stateMachineArn",), stateMachineArn=ARN), delete_state_machine
    ),
}
