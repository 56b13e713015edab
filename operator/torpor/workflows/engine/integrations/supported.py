"""Which resources a definition may name: the services that exist here, and their actions. Pure.

A definition is refused when it is created if it names another one, so that no execution finds out
in its middle. Services that an installation lacks (an object store, an event bus) are in the table:
their tasks fail with a cause that says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torpor.workflows.asl.resource import Pattern, Resource, parse_resource

_OBJECTS: Final = frozenset({"getObject", "putObject", "listObjects", "listObjectsV2"})

ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "lambda": frozenset({"invoke"}),
    "states": frozenset({"startExecution", "startSyncExecution"}),
    "http": frozenset({"invoke"}),
    "s3": _OBJECTS,
    "aws-sdk:s3": _OBJECTS,
    "sqs": frozenset({"sendMessage"}),
    "sns": frozenset({"publish"}),
    "events": frozenset({"putEvents"}),
    "ecs": frozenset({"runTask"}),
    "batch": frozenset({"submitJob"}),
    "eks": frozenset({"runJob", "call"}),
    "job": frozenset({"run"}),
    "activity": frozenset({"run"}),
}
"""The actions of each service, by AWS's names (`Resource.service`, `Resource.action`)."""

_WAITED_FOR: Final = frozenset({"states", "ecs", "batch", "eks", "job"})
"""Services whose work has an end that `.sync` waits for."""
_DIRECT: Final = frozenset({"job", "activity"})
"""Not services: what an ARN of its own names."""


def refuse_resource(text: str) -> str | None:
    """Why a task cannot name this resource, with what it can; None when it can."""
    resource = parse_resource(text)
    if resource is None:
        return (
            "Value is not a valid resource ARN: a function, an activity, torpor:job:NAME or "
            "arn:aws:states:::SERVICE:ACTION is expected"
        )
    return None if resource.direct else _refuse_integration(resource)


def _refuse_integration(resource: Resource) -> str | None:
    service, action = resource.service, resource.action
    known = ACTIONS.get(service)
    if known is None or service in _DIRECT:
        services = ", ".join(sorted(ACTIONS.keys() - _DIRECT))
        return f"Service '{service}' is not supported. Supported services: [{services}]"
    if action not in known:
        actions = ", ".join(sorted(known))
        return f"Action '{service}:{action}' is not supported. Supported actions: [{actions}]"
    if resource.pattern in (Pattern.SYNC, Pattern.SYNC_JSON) and service not in _WAITED_FOR:
        waited = ", ".join(sorted(_WAITED_FOR - _DIRECT))
        return f"Service '{service}' does not support '.sync'. Services that do: [{waited}]"
    return None
