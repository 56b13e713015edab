"""HTTP/1.1 as bytes (RFC 9112); what two parsers could read differently is refused."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from torpor_runtime.event import Headers

MAX_HEAD_BYTES = 64 * 1024
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET = re.compile(r"[!-~\x80-\xff]+\Z")
_FIELD = re.compile(r"[\t -~\x80-\xff]*\Z")
_REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    304: "Not Modified",
    400: "Bad Request",
    404: "Not Found",
    408: "Request Timeout",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    504: "Gateway Timeout",
}


class Refusal(Exception):
    """A request that is answered without the handler; the connection closes after it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Head:
    """A request line and header. `length` is the body's in bytes, None when it is chunked."""

    method: str
    target: str
    version: str
    headers: Headers
    length: int | None

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with the connection."""
        wish = self.headers.get("connection", "").lower()
        return "close" not in wish and (self.version == "HTTP/1.1" or "keep-alive" in wish)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends the body."""
        return bool(self.headers.get("expect", "").lower() == "100-continue")


def is_field(name: str, value: str) -> bool:
    """Return whether the two make a header field and stay within its line."""
    return bool(_TOKEN.match(name) and _FIELD.match(value))


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Return the next request's head, None when the client has closed; Refusal if it is bad."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise Refusal(400, "the request ended in its header") from None
        return None
    except asyncio.LimitOverrunError:
        raise Refusal(431, f"the header is larger than {MAX_HEAD_BYTES} bytes") from None
    return parse_head(raw)


def parse_head(raw: bytes) -> Head:
    """Return the head in `raw`, which ends with an empty line; Refusal says what is wrong."""
    first, *lines = raw.decode("latin-1").lstrip("\r\n")[:-4].split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not _TOKEN.match(words[0]) or not _TARGET.match(words[1]):
        raise Refusal(400, "the request line is not METHOD TARGET VERSION")
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refusal(400, f"{version[:20]!r} is not spoken here")
    headers = Headers()
    for line in lines:
        _add(headers, line)
    return Head(method, target, version, headers, _length(headers))


async def read_body(reader: asyncio.StreamReader, head: Head, limit: int) -> bytes:
    """Return the whole body; Refusal 413 if it is larger than `limit` bytes."""
    if head.length is None:
        return await _read_chunks(reader, limit)
    if head.length > limit:
        raise Refusal(413, f"the body is larger than {limit} bytes")
    return await reader.readexactly(head.length) if head.length else b""


def render_head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """Return a status line and header."""
    lines = [f"HTTP/1.1 {status} {_REASONS.get(status, '')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _add(headers: Headers, line: str) -> None:
    name, colon, value = line.partition(":")
    if not colon or not is_field(name, value):
        raise Refusal(400, "a header field is malformed")
    name, value = name.lower(), value.strip(" \t")
    if name in headers and name in ("content-length", "transfer-encoding", "host"):
        raise Refusal(400, f"{name} is given twice")
    headers[name] = f"{headers[name]}, {value}" if name in headers else value


def _length(headers: Headers) -> int | None:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is None:
        if length is not None and not (length.isascii() and length.isdigit()):
            raise Refusal(400, "content-length is not a number")
        return int(length or 0)
    if length is not None:
        raise Refusal(400, "both content-length and transfer-encoding are given")
    if coding.lower() != "chunked":
        raise Refusal(501, f"transfer-encoding {coding[:20]!r} is not known")
    return None


async def _read_chunks(reader: asyncio.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while size := await _chunk_size(reader):
        if len(body) + size > limit:
            raise Refusal(413, f"the body is larger than {limit} bytes")
        body += await reader.readexactly(size)
        if await reader.readexactly(2) != b"\r\n":
            raise Refusal(400, "a chunk is longer than it says")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        continue  # trailer fields are read and dropped
    return bytes(body)


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = (await reader.readuntil(b"\r\n"))[:-2]
    digits = line.partition(b";")[0].strip(b" \t")
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", digits):
        raise Refusal(400, "a chunk's size is not a number")
    return int(digits, 16)
