"""The Workflow kind as frozen values, parsed once at the edge. Pure.

`crds/workflows.yaml` validates the same fields with the same defaults; a test holds them together.
The definition is not looked into here: that is for `workflows/asl`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.names import FunctionKey

DEFAULT_RETENTION_DAYS = 90
_FUNCTION = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")


class WorkflowType(StrEnum):
    """Whether executions are durable, or live in memory."""

    STANDARD = "Standard"
    EXPRESS = "Express"


class LogLevel(StrEnum):
    """Which ends of Express executions are logged (AWS's levels)."""

    ALL = "ALL"
    ERROR = "ERROR"
    FATAL = "FATAL"
    OFF = "OFF"


class DeletionPolicy(StrEnum):
    """What becomes of running executions when their Workflow is deleted."""

    DRAIN = "Drain"
    STOP = "Stop"


@dataclass(frozen=True, slots=True)
class ConfigMapKey:
    """One key of a ConfigMap in the Workflow's namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Logging:
    """What is logged of executions."""

    level: LogLevel = LogLevel.OFF
    include_execution_data: bool = False


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `limit` executions at once; with a key, for each value of that expression."""

    limit: int
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """A Workflow as its user wrote it, with the schema's defaults filled in.

    Exactly one of `definition` and `definition_from` is set.
    """

    key: FunctionKey
    uid: str
    generation: int
    definition: Mapping[str, Any] | None
    definition_from: ConfigMapKey | None
    type: WorkflowType
    timeout_seconds: int | None
    logging: Logging
    concurrency: Concurrency | None
    retention_days: int
    resources: Mapping[str, str]
    tracing: bool
    deletion_policy: DeletionPolicy
    status: Mapping[str, Any]

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Workflow:
        """Return the Workflow in `obj` (the JSON form); InvalidResource names the bad field."""
        meta = Fields(obj.get("metadata") or {}, "metadata")
        spec = Fields(obj.get("spec") or {}, "spec")
        logging = spec.child("logging")
        workflow = cls(
            key=FunctionKey(meta.text("namespace", "default"), meta.required_text("name")),
            uid=meta.text("uid", ""),
            generation=meta.integer("generation", 0),
            definition=spec.mapping("definition") if spec.has("definition") else None,
            definition_from=_reference(spec),
            type=spec.choice("type", WorkflowType, WorkflowType.STANDARD),
            timeout_seconds=_timeout(spec),
            logging=Logging(
                level=logging.choice("level", LogLevel, LogLevel.OFF),
                include_execution_data=logging.boolean("includeExecutionData", default=False),
            ),
            concurrency=_concurrency(spec),
            retention_days=spec.child("retention").integer(
                "days", DEFAULT_RETENTION_DAYS, low=1, high=3650
            ),
            resources=_resources(spec.mapping("resources")),
            tracing=spec.child("tracing").boolean("enabled", default=True),
            deletion_policy=spec.choice("deletionPolicy", DeletionPolicy, DeletionPolicy.DRAIN),
            status=obj.get("status") or {},
        )
        if (workflow.definition is None) == (workflow.definition_from is None):
            raise InvalidResource("spec", "give exactly one of definition and definitionFrom")
        return workflow


def _reference(spec: Fields) -> ConfigMapKey | None:
    if not spec.has("definitionFrom"):
        return None
    found = spec.child("definitionFrom").child("configMapKeyRef")
    return ConfigMapKey(found.required_text("name"), found.required_text("key"))


def _timeout(spec: Fields) -> int | None:
    if not spec.has("timeoutSeconds"):
        return None
    return spec.integer("timeoutSeconds", 1, low=1, high=99_999_999)


def _concurrency(spec: Fields) -> Concurrency | None:
    if not spec.has("concurrency"):
        return None
    found = spec.child("concurrency")
    if not found.has("limit"):
        raise InvalidResource("spec.concurrency.limit", "is required")
    return Concurrency(found.integer("limit", 1, low=1, high=1_000_000), found.optional_text("key"))


def _resources(found: Mapping[str, Any]) -> Mapping[str, str]:
    for resource, function in found.items():
        if not isinstance(function, str) or not _FUNCTION.fullmatch(function):
            raise InvalidResource(
                f"spec.resources[{resource}]", "must be the name of a Function of this namespace"
            )
    return dict(found)
