"""Would this Trigger take this event, and what would its target be sent? Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import TorporError
from torpor.resources.trigger import TargetKind, Trigger
from torpor.triggers.event import Event, Json, from_json, make_event, to_http_binary, to_json
from torpor.triggers.filter.compiled import compile_filter
from torpor.triggers.partition import partitioning
from torpor.triggers.transform import compile_transform

TYPE = "dev.torpor.test"
_SOURCE = "/torpor/test"


@dataclass(frozen=True, slots=True)
class Trial:
    """What would happen. `sent` is what the target would be given; `error` why that fails."""

    event: Mapping[str, Json]
    matches: bool
    target: str
    partition: int | None = None
    sent: Json = None
    headers: Mapping[str, str] | None = None
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        found: dict[str, Any] = {
            "matches": self.matches,
            "target": self.target,
            "event": dict(self.event),
        }
        if self.matches:
            found |= {"sent": self.sent, "headers": self.headers, "partition": self.partition}
        if self.error:
            found["error"] = self.error
        return found


def event_of(value: Json) -> Event:
    """Return the CloudEvent that a JSON value is, or one that has it as data. MalformedEvent."""
    if isinstance(value, dict) and "specversion" in value:
        return from_json(value)
    event_id = uuid.uuid5(uuid.NAMESPACE_URL, _SOURCE)
    return make_event(id=str(event_id), source=_SOURCE, type=TYPE, data=value)


def attempt(trigger: Trigger, event: Event) -> Trial:
    """Return what would become of an event; the Trigger's expressions are as `admit` takes them."""
    target = f"{trigger.target.kind}/{trigger.target.name}"
    if not compile_filter(trigger.filter).matches(event):
        return Trial(to_json(event), False, target)
    partition = None if trigger.ordering_key is None else partitioning(trigger)(event)
    try:
        sent, headers = _sent(trigger, event)
    except TorporError as error:
        return Trial(to_json(event), True, target, partition, error=str(error))
    return Trial(to_json(event), True, target, partition, sent, headers)


def _sent(trigger: Trigger, event: Event) -> tuple[Json, Mapping[str, str] | None]:
    """A Function is sent the data with the attributes as headers; the others, the event."""
    unchanged = trigger.transform.jsonata is None and trigger.transform.input is None
    function = trigger.target.kind is TargetKind.FUNCTION and trigger.batch is None
    headers, _ = to_http_binary(event) if function else (None, b"")
    if not unchanged:
        value = compile_transform(trigger.transform).apply(to_json(event))
        if headers is not None:
            headers["content-type"] = "application/json"
        return value, headers
    members = to_json(event)
    if headers is None:
        return members, None
    return members.get("data", members.get("data_base64")), headers
