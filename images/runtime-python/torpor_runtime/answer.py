"""Turns what a handler returned into an HTTP answer."""

from __future__ import annotations

from torpor_runtime.wire import REASONS, is_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Any

    Stream = Iterator[Any] | AsyncIterator[Any]

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_JSON = "application/json"
CODES = {
    400: "bad-request",
    413: "body-too-large",
    431: "headers-too-large",
    500: "function-failed",
    501: "not-implemented",
    503: "unavailable",
    504: "timeout",
}
"""The code of each problem that the runtime tells, by its status."""

# HAProxy takes 100 fields of an answer, 255 bytes of a name and 15 KiB together; aiohttp, which
# `torpor dev` is built on, 8,190 bytes of a value. What either would break off is refused here,
# where the reason can be logged; there is room for the fields that the runtime and gateways add.
MAX_FIELDS = 64
MAX_NAME_BYTES = 128
MAX_FIELD_BYTES = 8000
MAX_FIELDS_BYTES = 12_000
_FIELD_EXTRA_BYTES = 4  # the colon, the space and the end of the line


class BadReturn(TypeError):
    """The handler returned something that is no answer."""


class Answer:
    """Status, header and either the whole body or a stream of chunks."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes | Stream) -> None:
        self.status = status
        self.headers = headers
        self.body = body


def answer_of(returned: Any) -> Answer:
    """Return the answer for `body`, `(status, body)` or `(status, headers, body)`.

    A body is str, bytes, dict, list, number or bool (JSON), an iterator of str or bytes, or None
    (204 unless the status says otherwise). BadReturn for anything else, and for a header that is
    too large.
    """
    status, headers, body = _parts(returned)
    if not (isinstance(status, int) and 200 <= status <= 599):
        raise BadReturn(f"the status must be a number from 200 to 599, not {status!r}")
    fields = checked_fields(headers)
    content, kind = _content(body)
    if kind and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", kind))
    return Answer(status, fields, content)


def problem(status: int, detail: str, request_id: str, **members: str | list[str]) -> Answer:
    """Return problem details (RFC 9457) as a gateway does, with these members besides.

    A 503 says when to come again.
    """
    import json

    body = {
        "type": "about:blank",
        "title": REASONS[status],
        "status": status,
        "detail": detail,
        "code": CODES[status],
        "requestId": request_id,
        **members,
    }
    headers = [("Content-Type", "application/problem+json")]
    if status == 503:
        headers.append(("Retry-After", "1"))
    return Answer(status, headers, json.dumps(body, separators=(",", ":")).encode())


def chunk_of(item: Any) -> bytes:
    """Return the bytes of one piece of a stream; BadReturn if it is neither str nor bytes."""
    if isinstance(item, str):
        return item.encode()
    if isinstance(item, bytes | bytearray | memoryview):
        return bytes(item)
    raise BadReturn(f"a stream must yield str or bytes, not {type(item).__name__}")


def _parts(returned: Any) -> tuple[Any, Any, Any]:
    if not isinstance(returned, tuple):
        return (204 if returned is None else 200), (), returned
    if len(returned) == 2:
        return returned[0], (), returned[1]
    if len(returned) == 3:
        return returned
    raise BadReturn("a tuple must be (status, body) or (status, headers, body)")


def checked_fields(headers: Any) -> list[tuple[str, str]]:
    """Return header fields as pairs; BadReturn for what gateways would break off."""
    fields = list(_pairs(headers))
    if len(fields) > MAX_FIELDS:
        raise BadReturn(f"{len(fields)} header fields: at most {MAX_FIELDS} can be sent")
    total = sum(_checked_bytes(name, value) for name, value in fields)
    if total > MAX_FIELDS_BYTES:
        raise BadReturn(f"the header has {total} bytes: at most {MAX_FIELDS_BYTES} can be sent")
    return fields


def _pairs(headers: Any) -> Iterator[tuple[str, str]]:
    for name, value in headers.items() if hasattr(headers, "items") else (headers or ()):
        for one in value if isinstance(value, list | tuple) else (value,):
            yield str(name), str(one)


def _checked_bytes(name: str, value: str) -> int:
    size = len(name) + len(value) + _FIELD_EXTRA_BYTES
    if len(name) > MAX_NAME_BYTES:
        raise BadReturn(f"the field {name[:20]!r}… has a name of {len(name)} bytes")
    if size > MAX_FIELD_BYTES:
        raise BadReturn(f"the field {name!r} has {size} bytes: at most {MAX_FIELD_BYTES} are sent")
    if not is_field(name, value):
        raise BadReturn(f"{name!r}: {value!r} is not a header field")
    return size


def _content(body: Any) -> tuple[bytes | Stream, str]:
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode(), _TEXT
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), _BYTES
    if isinstance(body, dict | list | bool | int | float):
        import json

        return json.dumps(body, allow_nan=False).encode(), _JSON
    if hasattr(body, "__next__") or hasattr(body, "__anext__"):
        return body, _BYTES
    raise BadReturn(f"a handler cannot return {type(body).__name__}")
