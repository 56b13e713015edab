"""A queue's attributes: what SQS lets one set, and what of it means something here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from torpor.resources.names import FunctionKey
from torpor.triggers.api.places import queue_of
from torpor.triggers.api.sqs import errors
from torpor.triggers.broker import names
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
FIFO = "FifoQueue"
_OF_FIFO: Mapping[str, tuple[str, ...]] = {
    FIFO: ("false", "true"),
    "ContentBasedDeduplication": ("false", "true"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
"""The values of what only FIFO queues have; the first is the default. A limit there is none of."""
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
    def read(cls, notes: str, queue: str) -> QueueAttributes:
        """Return what `notes` wrote of a queue; an empty text: nothing was set but by its name."""
        of_name = {FIFO: "true"} if names.is_fifo(queue) else {}
        if not notes:
            return cls(of_name)
        found = orjson.loads(notes)
        return cls({**of_name, **found["attributes"]}, found["modified"])

    def notes(self) -> str:
        """Return the text that is kept."""
        kept = {"attributes": dict(self.given), "modified": self.modified_seconds}
        return orjson.dumps(kept).decode()

    def changed(self, changes: Mapping[str, Any], now: float) -> QueueAttributes:
        """Return the attributes after a change; refuses what cannot be. An empty text unsets."""
        checked = {name: _checked(name, value) for name, value in changes.items()}
        both = {name: text for name, text in {**self.given, **checked}.items() if text}
        return QueueAttributes(both, now)

    def checked_for(self, queue: str) -> QueueAttributes:
        """Return the attributes if a queue of this name may have them; refuses them otherwise."""
        fifo = names.is_fifo(queue)
        if fifo != (self.given.get(FIFO) == "true"):
            raise errors.not_as_named(queue)
        others = [name for name in _OF_FIFO if name in self.given]
        if others and not fifo:
            raise errors.unknown_attribute(others[0])
        if self.redrive is not None and names.is_fifo(self.redrive.target.name) != fifo:
            reason = "The dead-letter queue of a FIFO queue must be one too, and of no other."
            raise errors.bad_attribute(_REDRIVE, reason)
        return self

    @property
    def by_content(self) -> bool:
        """Whether what is sent without a deduplication id has that of its body."""
        return self.given.get("ContentBasedDeduplication") == "true"

    @property
    def by_group(self) -> bool:
        """Whether a deduplication id is one message's in its group alone."""
        return self.given.get("DeduplicationScope") == "messageGroup"

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
        if FIFO in self.given:
            found |= {name: values[0] for name, values in _OF_FIFO.items()}
        return {**found, **self.given}


def _checked(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise errors.unreadable(f"Attributes.{name}")
    if name in _OF_FIFO:
        if value not in _OF_FIFO[name]:
            raise errors.bad_attribute(name, f"Must be {' or '.join(_OF_FIFO[name])}.")
        return value
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
        target = queue_of(_name_of_arn(arn))
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
