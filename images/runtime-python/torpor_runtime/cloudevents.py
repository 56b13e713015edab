"""`payload: cloudevents`: the handler is given the event in a request, or the list of them.

Binary, structured and batched mode of the HTTP protocol binding 1.0.2, with JSON as event format.
"""

from __future__ import annotations

import json

from torpor_runtime.answer import Answer, BadReturn, checked_fields
from torpor_runtime.answer import answer_of as raw_answer_of
from torpor_runtime.payload import BadPayload, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from torpor_runtime.event import Context, Event, Headers
    from torpor_runtime.payload import Given

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_REQUIRED = ("id", "source", "type", "specversion")
_KEPT = "!#$&'()*+,/:;<=>?@[\\]^`{|}"
"""What stays as it is in a header, besides letters, digits and `_.-~` (section 3.1.3.2)."""


class CloudEvent:
    """One event. `attributes` are by name, and so is `event[name]`.

    `data` is parsed where it is JSON, a string where it is text, else bytes; None without data.
    """

    def __init__(self, attributes: dict[str, Any], data: Any = None) -> None:
        self.attributes = attributes
        self.data = data

    def __getitem__(self, name: str) -> Any:
        return self.attributes[name]

    def __contains__(self, name: object) -> bool:
        return name in self.attributes

    def __iter__(self) -> Iterator[str]:
        return iter(self.attributes)

    def __repr__(self) -> str:
        return f"CloudEvent({self.attributes!r})"

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or `default`."""
        return self.attributes.get(name, default)


def given_event(event: Event, context: Context, _: Callable[[], bool]) -> Given:
    """Return what the handler is given, and what becomes of its result; BadPayload if no event."""
    return _read(event.headers, event.body), context, answer_of


def answer_of(returned: Any) -> Answer:
    """Return the answer: a CloudEvent or a dict with `specversion` in binary mode, else as raw."""
    if isinstance(returned, CloudEvent):
        return _binary_answer(dict(returned.attributes), returned.data)
    if isinstance(returned, dict) and "specversion" in returned:
        return _binary_answer(*_data_apart(returned))
    return raw_answer_of(returned)


def events_of(found: Any) -> CloudEvent | list[CloudEvent]:
    """Return the event that JSON in the event format is, or the list of them; or BadPayload."""
    if isinstance(found, list):
        return [_formatted(item) for item in found]
    return _formatted(found)


def _read(headers: Headers, body: bytes) -> CloudEvent | list[CloudEvent]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _STRUCTURED:
        return _formatted(parsed(body, "a CloudEvent in structured mode"))
    if kind == _BATCH:
        events = parsed(body, "a batch of CloudEvents")
        if not isinstance(events, list):
            raise BadPayload("a batch of CloudEvents must be a JSON array")
        return events_of(events)
    if "ce-specversion" not in headers:
        raise BadPayload(
            "not a CloudEvent: send ce-id, ce-source, ce-type and ce-specversion as headers, "
            f"or the event as {_STRUCTURED}"
        )
    return _binary(headers, kind, body)


def _binary(headers: Headers, kind: str, body: bytes) -> CloudEvent:
    names = [name for name in headers if name.startswith("ce-")]
    attributes = {name[3:]: _decoded(headers[name]) for name in names}
    if kind:
        attributes["datacontenttype"] = headers["content-type"]
    _check(attributes)
    return CloudEvent(attributes, _data(kind, body) if body else None)


def _data(kind: str, body: bytes) -> Any:
    if _is_json(kind):
        return parsed(body, f"data of {kind}")
    if kind.startswith("text/"):
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body
    return body


def _formatted(event: Any) -> CloudEvent:
    if not isinstance(event, dict):
        raise BadPayload("a CloudEvent in JSON must be an object")
    try:
        attributes, data = _data_apart(event)
    except (ValueError, TypeError) as error:
        raise BadPayload(f"data_base64 is no base64: {error}") from None
    _check(attributes)
    return CloudEvent(attributes, data)


def _data_apart(event: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    attributes = {name: value for name, value in event.items() if value is not None}
    data, packed = attributes.pop("data", None), attributes.pop("data_base64", None)
    if packed is None:
        return attributes, data
    from binascii import a2b_base64

    return attributes, a2b_base64(packed)


def _check(attributes: dict[str, Any]) -> None:
    lacking = [name for name in _REQUIRED if not attributes.get(name)]
    if lacking:
        raise BadPayload(f"not a CloudEvent: it has no {', '.join(lacking)}")
    if attributes["specversion"] != "1.0":
        raise BadPayload(f"specversion must be 1.0, is {attributes['specversion']!r}")


def _is_json(kind: str) -> bool:
    return kind.endswith("+json") or kind.rpartition("/")[2] == "json"


def _decoded(value: str) -> str:
    if value[:1] == value[-1:] == '"' and len(value) > 1:
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if "%" not in value:
        return value
    from urllib.parse import unquote

    return unquote(value)


def _binary_answer(attributes: dict[str, Any], data: Any) -> Answer:
    kind = attributes.pop("datacontenttype", None)
    fields = [(f"ce-{name}", _encoded(value)) for name, value in attributes.items()]
    if data is None:
        return Answer(200, checked_fields(fields), b"")
    if isinstance(data, bytes | bytearray | memoryview):
        kind, body = kind or "application/octet-stream", bytes(data)
    elif kind is None or _is_json(kind.partition(";")[0].strip().lower()):
        kind, body = kind or "application/json", _json(data)
    elif isinstance(data, str):
        body = data.encode()
    else:
        raise BadReturn(f"data of {kind} must be str or bytes, not {type(data).__name__}")
    return Answer(200, checked_fields([*fields, ("Content-Type", kind)]), body)


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False).encode()


def _encoded(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    from urllib.parse import quote

    return quote(text, safe=_KEPT)
