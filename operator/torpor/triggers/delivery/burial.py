"""What is kept of an event that is given up: the event, why, how often it was tried, its trace.

The message in the stream of dead letters is JSON; what was no event is kept in the bytes it had.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

import orjson

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Undecodable
from torpor.triggers.broker import names
from torpor.triggers.broker.publishing import Outgoing
from torpor.triggers.delivery.record import FRESH, Record

MOST_RAW_BYTES = 512 * 1024
"""Of what was no event; the rest is left out."""
_MOST_ERROR = 4_096
_MOST_ATTRIBUTES = 50
_MOST_ATTRIBUTE = 500
"""Characters of a name or a value; the rest is left out."""
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One given-up event. `seq` is its number in the stream. Times are Unix; 0: never tried.

    Exactly one of `event` (its JSON form) and `raw` is set.
    """

    seq: int
    trigger: FunctionKey
    target: str
    error: str
    status: int | None
    attempts: int
    first_seconds: float
    last_seconds: float
    buried_seconds: float
    trace: str
    event: Mapping[str, Any] | None
    raw: bytes | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    @property
    def reference(self) -> str:
        """Where the data is that the letter has no room for; empty where it has all of it."""
        found = self.attributes if self.event is None else self.event
        return str(found.get("dataref", ""))

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form, as the internal API tells it."""
        return {
            "seq": self.seq,
            "trigger": str(self.trigger),
            "target": self.target,
            "error": self.error,
            "status": self.status,
            "attempts": self.attempts,
            "firstSeconds": self.first_seconds,
            "lastSeconds": self.last_seconds,
            "buriedSeconds": self.buried_seconds,
            "trace": self.trace,
            "event": None if self.event is None else dict(self.event),
            "raw": None if self.raw is None else b64encode(self.raw).decode(),
            "attributes": dict(self.attributes),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> DeadLetter:
        """Return what `to_json` gave; KeyError, TypeError or ValueError for anything else."""
        raw = found["raw"]
        return cls(
            seq=int(found["seq"]),
            trigger=FunctionKey.parse(found["trigger"]),
            target=str(found["target"]),
            error=str(found["error"]),
            status=found["status"],
            attempts=int(found["attempts"]),
            first_seconds=float(found["firstSeconds"]),
            last_seconds=float(found["lastSeconds"]),
            buried_seconds=float(found["buriedSeconds"]),
            trace=str(found["trace"]),
            event=found["event"],
            raw=None if raw is None else b64decode(raw),
            attributes=found["attributes"],
        )


@dataclass(frozen=True, slots=True)
class Death:
    """Why, when (Unix seconds) and after what an event is given up."""

    error: str
    at_seconds: float
    record: Record = FRESH
    trace: str = ""


def bury_event(trigger: Trigger, identity: str, encoded: bytes, death: Death) -> Outgoing:
    """Return the dead letter of an event, `encoded` as JSON; it is stored once for an identity."""
    return _letter(trigger, identity, death, {"event": orjson.Fragment(encoded)})


def bury_raw(
    trigger: Trigger,
    identity: str,
    raw: bytes,
    death: Death,
    attributes: Mapping[str, str] = _NOTHING,
) -> Outgoing:
    """Return the dead letter of bytes that are no event."""
    kept = b64encode(raw[:MOST_RAW_BYTES]).decode()
    return _letter(trigger, identity, death, {"raw": kept, "attributes": _cut(attributes)})


def bury_undecodable(trigger: Trigger, undecodable: Undecodable, at_seconds: float) -> Outgoing:
    """Return the dead letter of something that arrived and was no event.

    What arrives again within two minutes is stored once.
    """
    raw = undecodable.raw[:MOST_RAW_BYTES].hex()
    about = orjson.dumps(dict(undecodable.attributes), option=orjson.OPT_SORT_KEYS).decode()
    identity = names.message_id(raw, f"{undecodable.reason} {about}", trigger.uid)
    death = Death(undecodable.reason, at_seconds)
    return bury_raw(trigger, identity, undecodable.raw, death, undecodable.attributes)


def _cut(attributes: Mapping[str, str]) -> dict[str, str]:
    some = islice(attributes.items(), _MOST_ATTRIBUTES)
    return {name[:_MOST_ATTRIBUTE]: value[:_MOST_ATTRIBUTE] for name, value in some}


def _letter(trigger: Trigger, identity: str, death: Death, content: Mapping[str, Any]) -> Outgoing:
    record = death.record
    body = {
        "seq": 0,
        "trigger": str(trigger.key),
        "target": f"{trigger.target.kind}/{trigger.target.name}",
        "error": death.error[:_MOST_ERROR],
        "status": record.status,
        "attempts": record.attempts,
        "firstSeconds": record.first_seconds,
        "lastSeconds": record.last_seconds,
        "buriedSeconds": death.at_seconds,
        "trace": death.trace,
        "event": None,
        "raw": None,
        "attributes": {},
        **content,
    }
    return Outgoing(
        names.dead_subject(trigger.key.namespace, trigger.key.name),
        orjson.dumps(body),
        names.message_id("dead", identity, trigger.uid),
    )
