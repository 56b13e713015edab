"""The JSON event format 1.0.2: one event as an object, many as an array."""

from __future__ import annotations

import json
from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable
from typing import Any, Final

import orjson

from torpor.triggers.event.model import (
    NO_DATA,
    Event,
    Json,
    NoData,
    is_json,
)
from torpor.triggers.event.rules import (
    Attribute,
    MalformedEvent,
    check_name,
    check_required,
    check_value,
)

MAX_BATCH_EVENTS: Final = 10_000
"""How many events one message may carry."""


def from_structured(body: bytes | str) -> Event:
    """The event of a JSON text; raises MalformedEvent."""
    return from_json(_loaded(body))


def from_batch(body: bytes | str) -> tuple[Event, ...]:
    """The events of a JSON array, maybe none; raises MalformedEvent with the place of a bad one."""
    values = _loaded(body)
    if not isinstance(values, list):
        raise MalformedEvent("a batch must be a JSON array of events")
    if len(values) > MAX_BATCH_EVENTS:
        raise MalformedEvent(f"a batch of {len(values)} events: send {MAX_BATCH_EVENTS} at most")
    return tuple(_member(index, value) for index, value in enumerate(values))


def from_json(value: Json) -> Event:
    """The event of a JSON object; raises MalformedEvent. A null attribute is unset."""
    if not isinstance(value, dict):
        raise MalformedEvent("an event must be a JSON object")
    attributes: dict[str, Attribute] = {}
    data: Any = NO_DATA
    encoded: Any = None
    for name, member in value.items():
        if name == "data":
            data = member
        elif name == "data_base64":
            encoded = member
        else:
            check_name(name)
            if member is not None:
                attributes[name] = check_value(name, member)
    check_required(attributes)
    if encoded is None:
        return Event(attributes, _checked_data(attributes, data))
    if data is not NO_DATA:
        raise MalformedEvent("data and data_base64 exclude one another")
    return Event(attributes, _decoded(encoded))


def to_json(event: Event) -> dict[str, Json]:
    """The event as a JSON object; bytes are in `data_base64`."""
    members: dict[str, Json] = {**event.attributes}
    if isinstance(event.data, bytes):
        members["data_base64"] = b64encode(event.data).decode()
    elif not isinstance(event.data, NoData):
        members["data"] = event.data
    return members


def to_structured(event: Event) -> bytes:
    """The event as JSON text; raises MalformedEvent where its data has no JSON."""
    return _dumped(to_json(event))


def to_batch(events: Iterable[Event]) -> bytes:
    """The events as a JSON array; raises MalformedEvent where the data of one has no JSON."""
    return _dumped([to_json(event) for event in events])


def dump_data(value: Json) -> bytes:
    """Data as JSON text; raises MalformedEvent where it has none."""
    return _dumped(value)


def load_data(text: bytes | str) -> Json:
    """Data from JSON text; raises MalformedEvent."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as invalid:
        raise MalformedEvent(f"data is not JSON, as its content type says: {invalid}") from None


def _member(index: int, value: Json) -> Event:
    try:
        return from_json(value)
    except MalformedEvent as malformed:
        raise MalformedEvent(f"event {index} of the batch: {malformed}") from malformed


def _checked_data(attributes: dict[str, Attribute], data: Json) -> Json:
    content_type = attributes.get("datacontenttype")
    if data is NO_DATA or isinstance(data, str) or content_type is None:
        return data
    if not is_json(str(content_type)):
        raise MalformedEvent(f"data of type {content_type} must be a string in JSON")
    return data


def _decoded(encoded: Any) -> bytes:
    if not isinstance(encoded, str):
        raise MalformedEvent("data_base64 must be a string")
    try:
        return a2b_base64(encoded.encode("ascii"), strict_mode=True)
    except (Base64Error, UnicodeEncodeError) as invalid:
        raise MalformedEvent(f"data_base64 is not base64 (RFC 4648): {invalid}") from None


def _loaded(body: bytes | str) -> Json:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as invalid:
        raise MalformedEvent(f"the body is not JSON: {invalid}") from None


def _dumped(value: Json) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        return _dumped_slowly(value)


def _dumped_slowly(value: Json) -> bytes:
    """As JSON text what orjson does not write: deep nesting, and integers beyond 64 bits."""
    try:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as impossible:
        raise MalformedEvent(f"data cannot be written as JSON: {impossible}") from impossible
