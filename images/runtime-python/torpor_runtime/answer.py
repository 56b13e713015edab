"""Turns what a handler returned into an HTTP answer."""

from __future__ import annotations

from torpor_runtime.wire import is_field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from typing import Any

    Stream = Iterator[Any] | AsyncIterator[Any]

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_JSON = "application/json"
_TITLES = {
    400: "Bad Request",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


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

    A body is str, bytes, dict or list (JSON), a generator of str or bytes, or None (204 unless the
    status says otherwise). BadReturn for anything else.
    """
    status, headers, body = _parts(returned)
    if not (isinstance(status, int) and 200 <= status <= 599):
        raise BadReturn(f"the status must be a number from 200 to 599, not {status!r}")
    fields = _fields(headers)
    content, kind = _content(body)
    if kind and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("Content-Type", kind))
    return Answer(status, fields, content)


def problem(status: int, detail: str, request_id: str) -> Answer:
    """Return problem details (RFC 9457); a 503 says when to come again."""
    import json

    title = _TITLES[status]
    body = {"title": title, "status": status, "detail": detail, "requestId": request_id}
    headers = [("Content-Type", "application/problem+json")]
    if status == 503:
        headers.append(("Retry-After", "1"))
    return Answer(status, headers, json.dumps(body).encode())


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


def _fields(headers: Any) -> list[tuple[str, str]]:
    pairs: Iterable[Any] = headers.items() if hasattr(headers, "items") else (headers or ())
    fields = [(str(name), str(value)) for name, value in pairs]
    for name, value in fields:
        if not is_field(name, value):
            raise BadReturn(f"{name!r}: {value!r} is not a header field")
    return fields


def _content(body: Any) -> tuple[bytes | Stream, str]:
    if body is None:
        return b"", ""
    if isinstance(body, str):
        return body.encode(), _TEXT
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), _BYTES
    if isinstance(body, dict | list):
        import json

        return json.dumps(body, allow_nan=False).encode(), _JSON
    if hasattr(body, "__next__") or hasattr(body, "__anext__"):
        return body, _BYTES
    raise BadReturn(f"a handler cannot return {type(body).__name__}")
