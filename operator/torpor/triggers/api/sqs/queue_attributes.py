"""A queue's attributes: what SQS lets one set, and what of it means something here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from torpor.resources.names import FunctionKey
from torpor.triggers.api.places import place_of
from torpor.triggers.api.sqs import errors
from torpor.triggers.broker.names import InvalidName

MOST_BYTES = 1 << 20
RANGES: Mapping[str, tuple[int, int]] = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, MOST_BYTES),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
_DEFAULTS: Mapping[str, int] = {
    "DelaySeconds": 0,
    "MaximumMessageSize": MOST_BYTES,
    "ReceiveMessageWaitTimeSeconds": 0,
    "VisibilityTimeout": 30,
}
_REDRIVE = "RedrivePolicy"
_FIFO = frozenset(
    {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
)
_NOTHING_HERE = frozenset(
    {
        "Policy",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "SqsManagedSseEnabled",
        "RedriveAllowPolicy",
    }
)


@dataclass(frozen=True, slots=True)
class Redrive:
    """After `most_receives` a message goes to the queue `target`."""

    target: FunctionKey
    most_receives: int


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """What was set, by AWS's names, as texts. Without a retention period messages stay."""

    given: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    modified_seconds: float = 0.0

    @classmethod
    def read(cls, notes: str) -> QueueAttributes:
        """Return what `notes` wrote; an empty text is a queue of which nothing was set."""
        if not notes:
            return cls()
        found = orjson.loads(notes)
        return cls(found["attributes"], found["modified"])

    def notes(self) -> str:
        """Return the text that is kept."""
        kept = {"attributes": dict(self.given), "modified": self.modified_seconds}
        return orjson.dumps(kept).decode()

    def changed(self, changes: Mapping[str, Any], now: float) -> QueueAttributes:
        """Return the attributes after a change; refuses what cannot be. An empty text unsets."""
        checked = {name: _checked(name, value) for name, value in changes.items()}
        both = {name: text for name, text in {**self.given, **checked}.items() if text}
        return QueueAttributes(both, now)

    def number(self, name: str) -> int | None:
        """Return the value of an attribute that is a number: the default, or None without one."""
        given = self.given.get(name)
        return _DEFAULTS.get(name) if given is None else int(given)

    @property
    def redrive(self) -> Redrive | None:
        """Where messages go that were received too often."""
        text = self.given.get(_REDRIVE)
        return None if text is None else _redrive(text)

    def shown(self) -> dict[str, str]:
        """Return all attributes that have a value, as texts."""
        numbers = {name: self.number(name) for name in RANGES}
        found = {name: str(value) for name, value in numbers.items() if value is not None}
        return {**found, **self.given}


def _checked(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise errors.unreadable(f"Attributes.{name}")
    if name in _FIFO:
        text = "there are no FIFO queues; order by key is a Trigger's ordering.key"
        raise errors.bad_attribute(name, text)
    if name in _NOTHING_HERE:
        if value in ("", "false"):
            return ""
        raise errors.bad_attribute(name, "it would mean nothing here; leave it out")
    if name == _REDRIVE:
        if value:
            _redrive(value)
        return value
    if name not in RANGES:
        raise errors.unknown_attribute(name)
    low, high = RANGES[name]
    if not (value.isascii() and value.isdigit() and low <= int(value[:9]) <= high):
        raise errors.bad_attribute(name, f"Must be between {low} and {high}.")
    return value


def _redrive(text: str) -> Redrive:
    try:
        found = orjson.loads(text)
        arn, most = str(found["deadLetterTargetArn"]), int(found["maxReceiveCount"])
        target = place_of(_name_of_arn(arn), "queue")
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, InvalidName) as error:
        reason = f"give deadLetterTargetArn and maxReceiveCount as JSON ({error})"
        raise errors.bad_attribute(_REDRIVE, reason) from None
    if not 1 <= most <= 1000:
        raise errors.bad_attribute(_REDRIVE, "maxReceiveCount must be between 1 and 1000.")
    return Redrive(target, most)


def _name_of_arn(arn: str) -> str:
    parts = arn.split(":")
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "sqs":
        raise ValueError(f"{arn[:200]!r} is not the ARN of a queue")
    return parts[5]
