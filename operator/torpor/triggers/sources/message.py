"""What a broker's message is as an event. Pure; the same for all brokers.

| the message | the event |
| --- | --- |
| content type `application/cloudevents+json` | the one in the payload (structured mode) |
| headers with CloudEvents attributes | made of them, the payload is its data (binary mode) |
| no content type, and JSON with the attributes of a CloudEvent | the one in the payload |
| any other | made by the source: its id, type `dev.torpor.<source>`, source, subject, time |

Data is a JSON value where the content type says so, or where there is none and the payload is JSON;
else a text where it is one, else bytes. What is no event after all is Undecodable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import orjson

from torpor.triggers.base import Undecodable
from torpor.triggers.event import (
    NO_DATA,
    STRUCTURED_CONTENT_TYPE,
    Attribute,
    Event,
    Json,
    MalformedEvent,
    NoData,
    from_json,
    from_structured,
    make_event,
)
from torpor.triggers.event.json_format import load_data
from torpor.triggers.event.media import MediaType, parse_media_type
from torpor.triggers.event.model import checked_attributes
from torpor.triggers.sources.trace import traceparent

_EVENT_FORMATS: Final = "application/cloudevents"
_REQUIRED: Final = ("specversion", "id", "source", "type")
_NO_HEADERS: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the source knows of a message, used where the message does not say it.

    `extensions` are added to each event that lacks them.
    """

    id: str
    type: str
    source: str
    subject: str | None = None
    time: str | None = None
    extensions: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Message:
    """What came. `attributes` are the CloudEvents attributes among its headers, if it has any.

    `headers` are all of them, with names in lower case; the trace is read from there.
    """

    payload: bytes
    content_type: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NO_HEADERS)
    headers: Mapping[str, Any] = field(default_factory=lambda: _NO_HEADERS)


def content_of(message: Message, facts: Facts) -> Event | Undecodable:
    """Return the event of a message, or what it is instead, with the reason."""
    try:
        return _completed(_event(message, facts), message, facts)
    except MalformedEvent as malformed:
        about = {"id": facts.id, "type": facts.type, "source": facts.source}
        if facts.subject:
            about["subject"] = facts.subject
        return Undecodable(message.payload, str(malformed), about)


def prefixed(headers: Mapping[str, Any], *prefixes: str) -> dict[str, Any]:
    """Return the headers that begin with one of the prefixes, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in headers.items()
        for prefix in prefixes
        if name.startswith(prefix)
    }


def attribute_text(value: str | bytes) -> str:
    """Return a text that an attribute may have: of bytes that are no text their hexadecimal."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw.hex()
    return text if text.isprintable() else raw.hex()


def uri_segment(text: str) -> str:
    """Return the text as one segment of a URI's path."""
    return quote(text, safe="")


def timestamp(instant: datetime) -> str:
    """Return an instant, which is in UTC, in RFC 3339."""
    return instant.isoformat().replace("+00:00", "Z")


def _event(message: Message, facts: Facts) -> Event:
    content_type = message.content_type
    if content_type is not None and content_type.lower().startswith(_EVENT_FORMATS):
        return _structured(content_type, message.payload)
    if message.attributes:
        return _binary(message)
    media_type = None if content_type is None else parse_media_type(content_type)
    if media_type is not None:
        return _made(facts, _data(media_type, message.payload), content_type)
    data, guessed = _guessed(message.payload)
    return _evident(data) or _made(facts, data, guessed)


def _structured(content_type: str, payload: bytes) -> Event:
    media_type = parse_media_type(content_type)
    if media_type is None or media_type.name != STRUCTURED_CONTENT_TYPE:
        shown = content_type[:100]
        raise MalformedEvent(f"the format {shown!r} is not known: send {STRUCTURED_CONTENT_TYPE}")
    return from_structured(_text(media_type, payload))


def _binary(message: Message) -> Event:
    given = {name: _attribute(value) for name, value in message.attributes.items()}
    content_type = message.content_type or given.get("datacontenttype")
    attributes = checked_attributes({**given, "datacontenttype": content_type})
    media_type = None if content_type is None else parse_media_type(str(content_type))
    if media_type is not None:
        return Event(attributes, _data(media_type, message.payload))
    data, guessed = _guessed(message.payload)
    return Event(checked_attributes({**attributes, "datacontenttype": guessed}), data)


def _evident(data: Json | bytes | NoData) -> Event | None:
    """Return the event that JSON without a content type is, if it is one (MQTT 3.1.1 binding)."""
    if not isinstance(data, dict) or not all(isinstance(data.get(n), str) for n in _REQUIRED):
        return None
    try:
        return from_json(data)
    except MalformedEvent:  # then it is JSON that only looks like one
        return None


def _made(facts: Facts, data: Json | bytes | NoData, content_type: str | None) -> Event:
    return make_event(
        id=facts.id,
        source=facts.source,
        type=facts.type,
        subject=facts.subject or None,
        time=facts.time,
        datacontenttype=content_type,
        data=data,
    )


def _completed(event: Event, message: Message, facts: Facts) -> Event:
    """Add the trace and what the source knows, where the event does not say it itself."""
    missing: dict[str, Attribute | None] = {
        name: value for name, value in facts.extensions.items() if name not in event.attributes
    }
    trace = traceparent(_header(message, "traceparent"))
    if event.traceparent is None and trace is not None:
        missing["traceparent"] = trace
        missing["tracestate"] = _header(message, "tracestate") or None
    return event.with_attributes(missing) if missing else event


def _header(message: Message, name: str) -> str:
    value = message.headers.get(name, "")
    return attribute_text(value) if isinstance(value, str | bytes) else ""


def _attribute(value: Any) -> Any:
    """Return a header's value as an attribute's: AMQP has more types than CloudEvents."""
    if isinstance(value, datetime):
        return timestamp(value)
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedEvent("an attribute in the headers is not UTF-8") from None


def _data(media_type: MediaType, payload: bytes) -> Json | bytes | NoData:
    if not payload:
        return NO_DATA
    if media_type.is_json:
        return load_data(_text(media_type, payload))
    return _text(media_type, payload) if media_type.name.startswith("text/") else payload


def _guessed(payload: bytes) -> tuple[Json | bytes | NoData, str | None]:
    if not payload:
        return NO_DATA, None
    try:
        return orjson.loads(payload), "application/json"
    except orjson.JSONDecodeError:
        pass  # not JSON: a text or bytes
    try:
        return payload.decode(), "text/plain"
    except UnicodeDecodeError:
        return payload, "application/octet-stream"


def _text(media_type: MediaType, payload: bytes) -> str:
    try:
        return payload.decode(media_type.charset or "utf-8")
    except (LookupError, UnicodeError) as unknown:
        raise MalformedEvent(f"the payload is not of its charset: {unknown}") from None
