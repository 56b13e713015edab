"""A message of SQS as a CloudEvent in a queue, and back. Pure.

| message | CloudEvent |
| --- | --- |
| MessageId | `id` |
| the queue | `source`: `/queues/<namespace>/<queue>` |
| Body | `data`: JSON where it is an object or an array, else a text |
| MessageAttributes | `sqsattributes`: their JSON |
| MessageGroupId | `partitionkey` |
| AWSTraceHeader | `traceparent` |

`type` is `dev.torpor.queue.message`. The body comes back byte for byte: JSON is put into the event
as it was written, and the header `Torpor-Body` says how to find it. What was put into the queue by
other means than SQS is received as the JSON of its CloudEvent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from torpor.resources.names import FunctionKey
from torpor.resources.trigger_rules import GROUP_KEY
from torpor.triggers.api.eventbridge import traceparent
from torpor.triggers.api.sqs.attributes import Attributes
from torpor.triggers.claims import claim
from torpor.triggers.event import Event, make_event, to_structured

BODY: Final = "Torpor-Body"
JSON, TEXT, HELD = "json", "text", "held"
TYPE: Final = "dev.torpor.queue.message"
ATTRIBUTES: Final = "sqsattributes"
GROUP: Final = GROUP_KEY
DEDUPLICATION: Final = "Torpor-Deduplication"
"""The header with the MessageDeduplicationId of what is in a FIFO queue."""
_DATA = b',"data":'


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send. `sent_at` is Unix time; an empty `group` or `trace` is none."""

    message_id: str
    body: str
    attributes: Attributes
    sent_at: float
    group: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Enveloped:
    """A message as it is published."""

    event: Event
    data: bytes
    headers: Mapping[str, str]


def holds_json(body: str) -> bool:
    """Whether a body is a JSON object or array."""
    if body.lstrip()[:1] not in ("{", "["):
        return False
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def envelop(letter: Letter, queue: FunctionKey) -> Enveloped:
    """Return the message whole; MalformedEvent when its group or trace cannot be an attribute."""
    raw = letter.body.encode()
    if not holds_json(letter.body):
        event = _event(letter, queue, "text/plain").with_data(letter.body, "text/plain")
        return Enveloped(event, to_structured(event), {BODY: TEXT})
    bare = _event(letter, queue, "application/json")
    data = to_structured(bare)[:-1] + _DATA + raw + b"}"
    event = bare.with_data(orjson.loads(raw), "application/json")
    return Enveloped(event, data, {BODY: f"{JSON} {len(raw)}"})


def envelop_held(letter: Letter, queue: FunctionKey, reference: str) -> Enveloped:
    """Return a message whose body is in the object store, at `reference`."""
    kind = JSON if holds_json(letter.body) else TEXT
    content_type = "application/json" if kind == JSON else "text/plain"
    event = _event(letter, queue, content_type).with_attributes(claim(kind, reference))
    return Enveloped(event, to_structured(event), {BODY: HELD})


def body_of(data: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the body of a message; None when the object store has it."""
    kind, _, length = headers.get(BODY, "").partition(" ")
    if kind == JSON and length.isdigit():
        return data[-1 - int(length) : -1].decode()
    if kind == TEXT:
        return str(orjson.loads(data)["data"])
    return None if kind == HELD else data.decode()


def members_of(data: bytes) -> Mapping[str, Any]:
    """Return the CloudEvent's members."""
    found: dict[str, Any] = orjson.loads(data)
    return found


def attributes_of(members: Mapping[str, Any]) -> Attributes:
    """Return the message attributes of a CloudEvent in a queue."""
    try:
        found = orjson.loads(members.get(ATTRIBUTES, "{}"))
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def sequence_number(seq: int) -> str:
    """Return the SequenceNumber of a message of a FIFO queue: that of its stream, 20 digits."""
    return f"{seq:020}"


def _event(letter: Letter, queue: FunctionKey, content_type: str) -> Event:
    moment = datetime.fromtimestamp(letter.sent_at, UTC).isoformat(timespec="milliseconds")
    attributes = orjson.dumps(letter.attributes, option=orjson.OPT_SORT_KEYS).decode()
    return make_event(
        id=letter.message_id,
        source=f"/queues/{queue.namespace}/{queue.name}",
        type=TYPE,
        time=moment.replace("+00:00", "Z"),
        datacontenttype=content_type,
        extensions={
            ATTRIBUTES: attributes if letter.attributes else None,
            GROUP: letter.group or None,
            "traceparent": traceparent(letter.trace),
        },
    )
