"""What a Task's `Resource` names: a service, an action, and how to wait for its end.

Forms accepted (workflows.md): Lambda function ARNs, `arn:aws:lambda:NAME`, service integrations
`arn:aws:states:::SERVICE:ACTION[.sync|.sync:2|.waitForTaskToken]`, activities, and
`torpor:job:NAME[.sync]`. Any partition (aws-cn, aws-us-gov) is read the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Pattern(StrEnum):
    """When a task is over: at the answer, at the end of the job, or at a SendTask… call."""

    REQUEST_RESPONSE = ""
    SYNC = ".sync"
    SYNC_JSON = ".sync:2"
    TASK_TOKEN = ".waitForTaskToken"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Resource:
    """One parsed resource.

    `service` and `action` are AWS's names (`lambda`, `invoke`); `name` is the function, activity or
    job that the ARN itself names, None where the parameters name it. `direct` marks an ARN of a
    function or activity: its history events and its input differ from an integration's.
    """

    text: str
    service: str
    action: str
    pattern: Pattern = Pattern.REQUEST_RESPONSE
    name: str | None = None
    direct: bool = False
    region: str = ""


_FUNCTION = re.compile(
    r"arn:aws[\w-]*:lambda:(?P<region>[^:]*):(?P<account>[^:]*):function:(?P<name>[^:]+)(:[^:]+)?"
)
_SHORT_FUNCTION = re.compile(r"arn:aws[\w-]*:lambda:(?P<name>[^:]+)")
_ACTIVITY = re.compile(
    r"arn:aws[\w-]*:states:(?P<region>[^:]*):(?P<account>[^:]*):activity:(?P<name>.+)"
)
_INTEGRATION = re.compile(
    r"arn:aws[\w-]*:states:(?P<region>[^:]*):[^:]*:(?P<service>[\w-]+(:[\w-]+)*):(?P<action>\w+)"
    r"(?P<pattern>\.sync:2|\.sync|\.waitForTaskToken)?"
)
_JOB = re.compile(r"torpor:job:(?P<name>[^.:]+)(?P<pattern>\.sync)?")


def parse_resource(text: str) -> Resource | None:
    """The parsed resource, or None when it has none of the known forms."""
    if found := _FUNCTION.fullmatch(text):
        return Resource(
            text, "lambda", "invoke", name=found["name"], direct=True, region=found["region"]
        )
    if found := _ACTIVITY.fullmatch(text):
        return Resource(
            text, "activity", "run", name=found["name"], direct=True, region=found["region"]
        )
    if found := _SHORT_FUNCTION.fullmatch(text):
        return Resource(text, "lambda", "invoke", name=found["name"], direct=True)
    if found := _JOB.fullmatch(text):
        pattern = Pattern(found["pattern"] or "")
        return Resource(text, "job", "run", pattern, name=found["name"], direct=True)
    if found := _INTEGRATION.fullmatch(text):
        return Resource(
            text,
            found["service"],
            found["action"],
            Pattern(found["pattern"] or ""),
            region=found["region"],
        )
    return None


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def function_name(name: str) -> str | None:
    """The Kubernetes name of the Function that an AWS function name or ARN means, None if none can.

    `validateOrder` and `validate_order` are `validate-order`; a name that is valid is kept.
    """
    if found := _FUNCTION.fullmatch(name) or _SHORT_FUNCTION.fullmatch(name):
        name = found["name"]
    name = name.split(":", 1)[0]
    if _LABEL.fullmatch(name):
        return name
    dashed = _WORD_START.sub("-", name).replace("_", "-").lower()
    return dashed if _LABEL.fullmatch(dashed) else None
