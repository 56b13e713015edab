"""HTTP/1.1 as bytes (RFC 9112); what two parsers could read differently is refused."""

from __future__ import annotations

import time

from torpor_runtime.event import Headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HEAD_BYTES = 64 * 1024
_MAX_LENGTH_DIGITS = 18
_READ_BYTES = 64 * 1024
# Sets of characters for `str.strip`: what is left over is what may not be there. Regular
# expressions would say the same; importing `re` takes longer than all of this module.
_ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN = _ALPHANUMERIC + "!#$%&'*+-.^_`|~"
_TARGET = "".join(map(chr, (*range(0x21, 0x7F), *range(0x80, 0x100))))
_FIELD = "\t " + _TARGET
_HEX = b"0123456789ABCDEFabcdef"
REASONS = {
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
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Refusal(Exception):
    """A request that is answered without the handler; the connection closes after it."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Reader:
    """The bytes of one connection, as they come.

    EOFError when the client has closed, TimeoutError when it is silent or `deadline`, on
    `time.monotonic()`, has passed.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._held = bytearray()
        self.deadline = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held that has come and was not read."""
        return not self._held

    def until(self, end: bytes, too_long: Refusal) -> bytes:
        """Return what comes up to and with `end`; `too_long` if that is more than a head may be."""
        searched = 0
        while (at := self._held.find(end, searched)) < 0:
            if len(self._held) > MAX_HEAD_BYTES:
                raise too_long
            searched = max(0, len(self._held) - len(end) + 1)
            self._fill()
        if at > MAX_HEAD_BYTES:
            raise too_long
        return self._cut(at + len(end))

    def exactly(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        while len(self._held) < size:
            self._fill()
        return self._cut(size)

    def _fill(self) -> None:
        if time.monotonic() > self.deadline:
            raise TimeoutError
        data = self._receive(_READ_BYTES)
        if not data:
            raise EOFError
        self._held += data

    def _cut(self, size: int) -> bytes:
        data = bytes(memoryview(self._held)[:size])
        del self._held[:size]
        return data


class Head:
    """A request line and header. `length` is the body's in bytes, None when it is chunked."""

    __slots__ = ("headers", "length", "method", "target", "version")

    def __init__(
        self, method: str, target: str, version: str, headers: Headers, length: int | None
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.length = length

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
    return bool(name) and not name.strip(_TOKEN) and not value.strip(_FIELD)


def read_head(reader: Reader) -> Head | None:
    """Return the next request's head, None when the client has closed; Refusal if it is bad."""
    too_long = Refusal(431, f"the header is larger than {MAX_HEAD_BYTES} bytes")
    try:
        return parse_head(reader.until(b"\r\n\r\n", too_long))
    except EOFError:
        if not reader.is_empty:
            raise Refusal(400, "the request ended in its header") from None
        return None


def parse_head(raw: bytes) -> Head:
    """Return the head in `raw`, which ends with an empty line; Refusal says what is wrong."""
    first, *lines = raw.decode("latin-1").lstrip("\r\n")[:-4].split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not all(words) or words[0].strip(_TOKEN) or words[1].strip(_TARGET):
        raise Refusal(400, "the request line is not METHOD TARGET VERSION")
    method, target, version = words
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refusal(400, f"{version[:20]!r} is not spoken here")
    headers = Headers()
    for line in lines:
        _add(headers, line)
    return Head(method, target, version, headers, _length(headers))


def read_body(reader: Reader, head: Head, limit: int) -> bytes:
    """Return the whole body; Refusal 413 if it is larger than `limit` bytes."""
    if head.length is None:
        return _read_chunks(reader, limit)
    if head.length > limit:
        raise Refusal(413, f"the body is larger than {limit} bytes")
    return reader.exactly(head.length) if head.length else b""


def render_head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """Return a status line and header."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
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
        if length is not None and len(length) > _MAX_LENGTH_DIGITS:
            raise Refusal(400, f"content-length has more than {_MAX_LENGTH_DIGITS} digits")
        return int(length or 0)
    if length is not None:
        raise Refusal(400, "both content-length and transfer-encoding are given")
    if coding.lower() != "chunked":
        raise Refusal(501, f"transfer-encoding {coding[:20]!r} is not known")
    return None


def _read_chunks(reader: Reader, limit: int) -> bytes:
    body = bytearray()
    while size := _chunk_size(reader):
        if len(body) + size > limit:
            raise Refusal(413, f"the body is larger than {limit} bytes")
        body += reader.exactly(size)
        if reader.exactly(2) != b"\r\n":
            raise Refusal(400, "a chunk is longer than it says")
    while _line(reader) != b"\r\n":
        continue  # trailer fields are read and dropped
    return bytes(body)


def _chunk_size(reader: Reader) -> int:
    digits = _line(reader)[:-2].partition(b";")[0].strip(b" \t")
    if not 0 < len(digits) < 16 or digits.strip(_HEX):
        raise Refusal(400, "a chunk's size is not a number")
    return int(digits, 16)


def _line(reader: Reader) -> bytes:
    return reader.until(b"\r\n", Refusal(400, "a line between chunks is too long"))
