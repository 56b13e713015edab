"""Streams and consumers as values, and what JetStream says of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

DUPLICATE_SECONDS = 120
"""How long an id is remembered."""
ACK_WAIT_SECONDS = 30.0
REFUSE_PER_SUBJECT = "discard_new_per_subject"
"""A member that JetStream leaves out of its answers where it is false."""
_NANOSECONDS = 1_000_000_000


class Retention(StrEnum):
    """When a message leaves its stream."""

    LIMITS = "limits"
    """By age and size alone."""
    WORK_QUEUE = "workqueue"
    """Once it is acknowledged."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream. Full, it refuses what is new: nothing stored is lost to make room."""

    name: str
    subjects: tuple[str, ...]
    retention: Retention
    max_bytes: int
    max_age_seconds: int = 0
    duplicate_seconds: int = DUPLICATE_SECONDS
    replicas: int = 1
    discard: str = "new"
    max_per_subject: int = -1
    """Above it a subject's oldest message makes room, unless `refuse_per_subject`."""
    refuse_per_subject: bool = False

    def config(self) -> dict[str, Any]:
        """Return the configuration as JetStream's API takes it."""
        window = self.duplicate_seconds
        if self.max_age_seconds:
            window = min(window, self.max_age_seconds)
        return {
            "name": self.name,
            "subjects": list(self.subjects),
            "retention": self.retention.value,
            "storage": "file",
            "max_bytes": self.max_bytes,
            "max_age": self.max_age_seconds * _NANOSECONDS,
            "duplicate_window": window * _NANOSECONDS,
            "num_replicas": self.replicas,
            "discard": self.discard,
            "max_msgs_per_subject": self.max_per_subject,
            REFUSE_PER_SUBJECT: self.refuse_per_subject,
            "allow_direct": True,
        }


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One durable pull consumer. `start_seq`: the first message that it is given when it is new."""

    stream: str
    name: str
    filter_subject: str
    ack_wait_seconds: float = ACK_WAIT_SECONDS
    max_ack_pending: int = 1000
    start_seq: int = 0

    def config(self) -> dict[str, Any]:
        """Return the configuration as JetStream's API takes it. Attempts are counted by us."""
        return {
            "name": self.name,
            "durable_name": self.name,
            "filter_subject": self.filter_subject,
            "ack_policy": "explicit",
            "deliver_policy": "all",
            "ack_wait": int(self.ack_wait_seconds * _NANOSECONDS),
            "max_ack_pending": self.max_ack_pending,
            "max_deliver": -1,
            "replay_policy": "instant",
        }


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds; `last_seconds` is Unix time of its last message, long ago for none."""

    name: str
    messages: int
    size_bytes: int
    first_seq: int
    last_seq: int
    last_seconds: float
    consumers: int

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Self:
        """Return the state in JetStream's description of a stream."""
        state = found["state"]
        return cls(
            name=found["config"]["name"],
            messages=state["messages"],
            size_bytes=state["bytes"],
            first_seq=state["first_seq"],
            last_seq=state["last_seq"],
            last_seconds=seconds_of(state["last_ts"]),
            consumers=state["consumer_count"],
        )


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """How far a consumer is: `pending` not delivered yet, `unacknowledged` delivered."""

    name: str
    pending: int
    unacknowledged: int
    acknowledged_seq: int


def seconds_of(text: str) -> float:
    """Return a moment of Go's RFC 3339, with up to nine digits of a second, as Unix time."""
    whole, _, rest = text.removesuffix("Z").partition(".")
    digits = rest or "0"
    instant = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    return instant.timestamp() + int(digits) / 10.0 ** len(digits)
