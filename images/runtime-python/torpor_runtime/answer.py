"""Turns what a handler returned into an HTTP answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torpor_runtime.wire import is_field

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_JSON = "application/json"

Stream = Iterator[Any] | AsyncIterator[Any]


class BadReturn(TypeError):
    """The handler returned something that is no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, header and either the whole body or a stream of chunks."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Stream


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


def problem(status: int, title: str, detail: str, request_id: str) -> Answer:
    """Return problem details (RFC 9457)."""
    body = {"title": title, "status": status, "detail": detail, "requestId": request_id}
    headers = [("Content-Type", "application/problem+json")]
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
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else (headers or ())
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
        return json.dumps(body, allow_nan=False).encode(), _JSON
    if isinstance(body, Iterator | AsyncIterator):
        return body, _BYTES
    raise BadReturn(f"a handler cannot return {type(body).__name__}")
