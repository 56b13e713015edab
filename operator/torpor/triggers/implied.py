"""The definitions that no Trigger is behind: the inboxes of a Function's asynchronous calls. Pure.

`<function>` is called asynchronously: `0-calls-<function>` delivers the calls to it, and where it
has destinations, `0-success-<function>` and `0-failure-<function>` deliver to those how calls
ended. The name of a Trigger begins with a letter, so none is like these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torpor.resources.asynchronous import Callee, target_to_json
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Target, TargetKind
from torpor.triggers.standings import TargetFacts


class Role(Enum):
    """What an implied inbox holds."""

    CALLS = "calls"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Implied:
    """What a definition is that no Trigger is behind.

    `arn` is that of the Function that was called. `told` are the ends of calls for which there is a
    destination.
    """

    role: Role
    function: str
    arn: str = ""
    told: frozenset[Role] = frozenset()

    @property
    def name(self) -> str:
        """What it has in place of a Trigger's name."""
        return inbox_name(self.role, self.function)

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "role": self.role.value,
            "function": self.function,
            "arn": self.arn,
            "told": sorted(role.value for role in self.told),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Implied:
        """Return what `to_json` wrote; ValueError, LookupError or TypeError for anything else."""
        told = frozenset(Role(role) for role in found["told"])
        return cls(Role(found["role"]), str(found["function"]), str(found["arn"]), told)


@dataclass(frozen=True, slots=True)
class Wish:
    """A definition as it is to be put."""

    implied: Implied
    manifest: Mapping[str, Any]
    facts: Mapping[str, Any]


def inbox_name(role: Role, function: str) -> str:
    """Return the name of an implied inbox; a Function's own has at most 52 characters."""
    return f"0-{role.value}-{function}"


def is_implied(name: str) -> bool:
    """Return whether no Trigger can have this name, but an implied inbox."""
    return name.startswith("0-")


def function_of(name: str) -> str | None:
    """Return whose calls an inbox of this name holds; None for any other."""
    prefix = inbox_name(Role.CALLS, "")
    return name.removeprefix(prefix) if name.startswith(prefix) else None


def wishes(key: FunctionKey, callee: Callee) -> tuple[Wish, ...]:
    """Return the definitions that calls of a Function need, that of the calls last."""
    found = callee.settings
    ends = ((Role.SUCCESS, found.on_success), (Role.FAILURE, found.on_failure))
    given = {role: target for role, target in ends if target is not None}
    return (
        *(_destination(key, callee.uid, role, target) for role, target in given.items()),
        _calls(key, callee, frozenset(given)),
    )


def _calls(key: FunctionKey, callee: Callee, told: frozenset[Role]) -> Wish:
    settings = callee.settings
    spec = {
        "source": {"http": {"async": True}},
        "target": {"function": {"name": key.name}},
        "delivery": {
            "maxAttempts": settings.max_attempts,
            "maxAgeSeconds": settings.max_age_seconds,
        },
        "deadLetter": {"enabled": Role.FAILURE not in told},
    }
    facts = TargetFacts(
        True, callee.timeout_seconds, callee.target, callee.limit, callee.most_replicas
    )
    implied = Implied(Role.CALLS, key.name, callee.arn, told)
    return Wish(implied, _manifest(key, callee.uid, spec), facts.to_json())


def _destination(key: FunctionKey, uid: str, role: Role, target: Target) -> Wish:
    spec: dict[str, Any] = {
        "source": {"http": {"async": True}},
        "target": target_to_json(target),
    }
    if target.kind is TargetKind.WORKFLOW:
        spec["transform"] = {"jsonata": "data"}  # its input is the record, with no event around it
    return Wish(Implied(role, key.name), _manifest(key, uid, spec), {})


def _manifest(key: FunctionKey, uid: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The Trigger that it is like; the name is the Function's, which a Trigger may have."""
    return {"metadata": {"namespace": key.namespace, "name": key.name, "uid": uid}, "spec": spec}
