"""Conditions of a status: what is true of an object, since when, and why.

The transition rules are those of the Kubernetes API conventions: `lastTransitionTime` moves only
when `status` does; a condition is there from the first visit on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

NOT_OWNED = "NotOwned"
CONFIG_MAP_MISSING = "ConfigMapMissing"
UNKNOWN_RUNTIME = "UnknownRuntime"
INVALID_SPEC = "InvalidSpec"
REFUSED = "Refused"
"""The API server takes an object that it needs not as its spec has it."""
BLOCKING = frozenset({NOT_OWNED, CONFIG_MAP_MISSING, UNKNOWN_RUNTIME, INVALID_SPEC, REFUSED})
"""Reasons of Ready=False with which no instance can be started, whoever asks."""

INVALID_WINDOW = "InvalidWindow"
"""A provisioned window of it can never open; it serves all the same."""
FAILED_CREATE = "FailedCreate"
"""No pod can even be made: a quota, a ServiceAccount, an admission policy is in the way."""
NOT_READY = "NotReady"
"""An instance runs and was not ready within its startup time."""
NOT_STARTED = "NotStarted"
"""An instance's container was not started within the startup time, and its pod does not say why."""
IMAGE_PULL = "ImagePullBackOff"
"""The image cannot be had; whether the kubelet tries just now or waits makes no difference."""


class Truth(Enum):
    """The status of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, value: object) -> Truth:
        """Return TRUE or FALSE, as `value` is true or false."""
        return cls.TRUE if value else cls.FALSE


READY = "Ready"
"""The function can serve. One that sleeps at zero can."""
ACTIVE = "Active"
"""It has instances, or is getting some. Not part of Ready."""
RECONCILING = "Reconciling"
"""Its children are on their way to what its spec asks for."""
STALLED = "Stalled"
"""It gets no further before a person changes something."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps an object from being as its spec asks: a CamelCase word and a sentence.

    `final` says that it lasts until a person changes something.
    """

    reason: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """One statement about an object; `reason` is a CamelCase word, `message` a sentence."""

    type: str
    status: Truth
    reason: str
    message: str

    def to_json(self, previous: Mapping[str, Any] | None, now: datetime, generation: int) -> Any:
        """Return its JSON form; `previous` is the condition of the same type seen before."""
        same = previous is not None and previous.get("status") == self.status.value
        since = previous.get("lastTransitionTime") if same and previous else None
        return {
            "type": self.type,
            "status": self.status.value,
            "reason": self.reason,
            "message": self.message,
            "lastTransitionTime": since or timestamp(now),
            "observedGeneration": generation,
        }


def find(conditions: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any] | None:
    """Return the condition of that type, or None."""
    return next((item for item in conditions if item.get("type") == kind), None)


def merge(
    previous: Sequence[Mapping[str, Any]],
    current: Iterable[Condition],
    now: datetime,
    generation: int,
) -> list[Any]:
    """Return the JSON list of the `current` conditions, each with the time it became so."""
    return [item.to_json(find(previous, item.type), now, generation) for item in current]


def timestamp(moment: datetime) -> str:
    """Return the moment as the Kubernetes API writes it: RFC 3339, UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Return the moment that `timestamp` wrote; ValueError if it is not one."""
    return datetime.fromisoformat(text)
