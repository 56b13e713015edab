"""ARNs of the execution API: reading those of requests, writing those of answers.

    arn:<partition>:states:<region>:<account>:<kind>:<rest>

The rest is `<machine>`, `<machine>:<version or alias>`, `<machine>:<execution>`,
`<machine>/<label>:<id>` of a Map Run, or the name of an activity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from torpor.workflows.stepfunctions.errors import invalid_arn

_PREFIX = re.compile(r"arn:(?P<partition>aws[\w-]*):(?P<service>[^:]*):(?P<place>[^:]*:[^:]*):")


class Kind(StrEnum):
    """What an ARN is the name of."""

    MACHINE = "stateMachine"
    EXECUTION = "execution"
    EXPRESS = "express"
    MAP_RUN = "mapRun"
    ACTIVITY = "activity"


@dataclass(frozen=True, slots=True)
class Arn:
    """One parsed ARN. `qualifier` is a version's number or an alias's name, None without one."""

    text: str
    kind: Kind
    name: str
    qualifier: str | None = None

    @property
    def machine(self) -> str:
        """The ARN of the machine without version or alias."""
        return self.text if self.qualifier is None else self.text[: -len(self.qualifier) - 1]

    @property
    def is_version(self) -> bool:
        """Whether it names a version: aliases are never digits only."""
        return self.qualifier is not None and self.qualifier.isdecimal()


def read_arn(text: str, *kinds: Kind) -> Arn:
    """The ARN of one of these kinds; refuses another one, or none, with InvalidArn."""
    found = _PREFIX.match(text)
    if found is None:
        raise invalid_arn(f"Invalid ARN prefix: {text}")
    if found["service"] != "states":
        raise invalid_arn(f"Service not valid in this context: {found['service']}")
    kind, *rest = text[found.end() :].split(":")
    if kind not in kinds:
        raise invalid_arn(f"Resource type not valid in this context: {kind}")
    return _checked(text, Kind(kind), rest)


def _checked(text: str, kind: Kind, rest: list[str]) -> Arn:
    most = {Kind.MACHINE: 2, Kind.ACTIVITY: 1, Kind.EXPRESS: 3, Kind.EXECUTION: 3, Kind.MAP_RUN: 2}
    least = {Kind.MACHINE: 1, Kind.ACTIVITY: 1, Kind.EXPRESS: 3, Kind.EXECUTION: 2, Kind.MAP_RUN: 2}
    if not least[kind] <= len(rest) <= most[kind] or not all(rest):
        raise invalid_arn(text)
    qualifier = rest[1] if kind is Kind.MACHINE and len(rest) == 2 else None
    return Arn(text, kind, rest[0], qualifier)


@dataclass(frozen=True, slots=True)
class Place:
    """The partition, region and account that this installation gives its ARNs."""

    region: str = "us-east-1"
    account: str = "000000000000"
    partition: str = "aws"

    def machine(self, name: str) -> str:
        """The ARN of a state machine."""
        return self._arn(Kind.MACHINE, name)

    def activity(self, name: str) -> str:
        """The ARN of an activity."""
        return self._arn(Kind.ACTIVITY, name)

    def _arn(self, kind: Kind, name: str) -> str:
        return f"arn:{self.partition}:states:{self.region}:{self.account}:{kind}:{name}"


def execution_arn(machine_arn: str, name: str) -> str:
    """The ARN of an execution of a machine."""
    return f"{machine_arn.replace(':stateMachine:', ':execution:', 1)}:{name}"


def express_arn(machine_arn: str, name: str, run: str) -> str:
    """The ARN of an express execution: names may repeat, so each run has its own id."""
    return f"{machine_arn.replace(':stateMachine:', ':express:', 1)}:{name}:{run}"


def map_run_of(arn: str) -> str | None:
    """The ARN of the Map Run that an execution is a child of; None for others.

    A child's ARN is `…:execution:<machine>/<label>:<run>:<index>`.
    """
    parts = arn.split(":")
    if len(parts) != 9 or parts[5] != Kind.EXECUTION or "/" not in parts[6]:
        return None
    return ":".join([*parts[:5], Kind.MAP_RUN, *parts[6:8]])
