"""Events in HTTP messages: binary, structured and batched (HTTP protocol binding 1.0.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from torpor.triggers.event.json_format import dump_data, from_batch, from_structured, load_data
from torpor.triggers.event.media import MediaType, parse_media_type
from torpor.triggers.event.model import NO_DATA, Event, Json, NoData
from torpor.triggers.event.rules import (
    Attribute,
    MalformedEvent,
    check_name,
    check_required,
    check_value,
)

STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json"
BATCH_CONTENT_TYPE: Final = "application/cloudevents-batch+json"
JSON_CONTENT_TYPE: Final = "application/json"

_EVENT_FORMATS: Final = "application/cloudevents"
_PREFIX: Final = "ce-"
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ENCODED: Final = re.compile(r"[^!#$&-~]")
_SAFE: Final = "!#$&'()*+,/:;<=>?@[\\]^`{|}"
"""What stays as it is in a header, besides letters, digits and `_.-~`."""

_UTF_8: Final = frozenset({None, "utf-8", "utf8", "us-ascii"})


def from_http(headers: Mapping[str, str], body: bytes) -> tuple[Event, ...]:
    """The events of a message: one, but any number in batched mode; raises MalformedEvent.

    `headers` may be a multidict; the names are of any case.
    """
    given: list[tuple[str, str]] = []
    content_type: str | None = None
    for header, value in headers.items():
        name = header.lower()
        if name.startswith(_PREFIX):
            given.append((name[3:], value))
        elif name == "content-type":
            content_type = value.strip()
    if content_type is not None and content_type[:23].lower() == _EVENT_FORMATS:
        return _formatted(content_type, body)
    return (_binary(given, content_type, body),)


def to_http_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a message in binary mode; raises MalformedEvent."""
    headers: dict[str, str] = {}
    for name, value in event.attributes.items():
        if name != "datacontenttype":
            headers[_PREFIX + name] = _encoded(value)
    body = _body(event)
    content_type = event.datacontenttype
    if content_type is None and not isinstance(event.data, bytes | NoData):
        content_type = JSON_CONTENT_TYPE
    if content_type is not None:
        headers["content-type"] = content_type
    return headers, body


def _binary(given: list[tuple[str, str]], content_type: str | None, body: bytes) -> Event:
    attributes: dict[str, Attribute] = {}
    for name, value in given:
        check_name(name)
        if name in attributes:
            raise MalformedEvent(f"the header ce-{name} is there twice")
        attributes[name] = check_value(name, _decoded(name, value))
    if "datacontenttype" in attributes:
        raise MalformedEvent("send datacontenttype as Content-Type, not as ce-datacontenttype")
    check_required(attributes)
    if content_type is None:
        return Event(attributes, body or NO_DATA)
    attributes["datacontenttype"] = check_value("datacontenttype", content_type)
    media_type = parse_media_type(content_type)
    if not body or media_type is None or not media_type.is_json:
        return Event(attributes, body or NO_DATA)
    return Event(attributes, load_data(_text(media_type, body)), body)


def _formatted(content_type: str, body: bytes) -> tuple[Event, ...]:
    media_type = parse_media_type(content_type)
    if media_type is not None and media_type.name == STRUCTURED_CONTENT_TYPE:
        return (from_structured(_text(media_type, body)),)
    if media_type is not None and media_type.name == BATCH_CONTENT_TYPE:
        return from_batch(_text(media_type, body))
    raise MalformedEvent(
        f"the event format {content_type!r} is not known: "
        f"send {STRUCTURED_CONTENT_TYPE} or {BATCH_CONTENT_TYPE}"
    )


def _text(media_type: MediaType, body: bytes) -> bytes | str:
    """The body, decoded where its charset is not the one that JSON has."""
    if media_type.charset in _UTF_8:
        return body
    try:
        return body.decode(str(media_type.charset))
    except (LookupError, ValueError) as unknown:
        raise MalformedEvent(f"the body is not of its charset: {unknown}") from None


def _decoded(name: str, value: str) -> str:
    """A header's value (section 3.1.3.2): quotes are taken off, then percents are decoded once."""
    text = value.strip(" \t")
    if '"' in text:
        text = _unquoted(name, text)
    if "%" not in text:
        return text
    if _BAD_PERCENT.search(text) is not None:
        raise MalformedEvent(f"ce-{name}: each % must begin two hexadecimal digits")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError:
        raise MalformedEvent(f"ce-{name}: what is percent-encoded is not UTF-8") from None


def _unquoted(name: str, text: str) -> str:
    plain = _QUOTED.sub("", text)
    if '"' in plain:
        raise MalformedEvent(f"ce-{name}: a quoted string has no end")
    return _QUOTED.sub(lambda quoted: _PAIR.sub(r"\1", quoted[1]), text)


def _encoded(value: Attribute) -> str:
    if type(value) is not str:
        return str(value).lower()
    return value if _ENCODED.search(value) is None else quote(value, safe=_SAFE)


def _body(event: Event) -> bytes:
    data: Json | bytes | NoData = event.data
    if isinstance(data, NoData):
        return b""
    if event.encoded is not None:
        return event.encoded
    if isinstance(data, bytes):
        return data
    return dump_data(data) if event.holds_json else _text_body(event, str(data))


def _text_body(event: Event, text: str) -> bytes:
    media_type = parse_media_type(event.datacontenttype or "")
    charset = (media_type and media_type.charset) or "utf-8"
    try:
        return text.encode(charset)
    except (LookupError, ValueError) as impossible:
        raise MalformedEvent(f"data cannot be written in {charset}: {impossible}") from None
