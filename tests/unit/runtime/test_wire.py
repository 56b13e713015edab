"""What the runtime's HTTP reader takes, and what it refuses."""

from __future__ import annotations

import io
import time

import pytest

from torpor_runtime.wire import MAX_HEAD_BYTES, Reader, Refusal, parse_head, read_body, read_head


def head(text: str):  # type: ignore[no-untyped-def]
    return parse_head((text.replace("\n", "\r\n") + "\r\n\r\n").encode("latin-1"))


def reading(content: bytes, piece_bytes: int = 3) -> Reader:
    source = io.BytesIO(content)
    reader = Reader(lambda size: source.read(min(size, piece_bytes)))
    reader.deadline = time.monotonic() + 10
    return reader


def body(text: str, content: bytes, limit: int = 100) -> bytes:
    return read_body(reading(content), head(text), limit)


def test_names_are_found_in_any_case_and_repeated_ones_are_joined() -> None:
    found = head("GET /a?b=c HTTP/1.1\nHost: x\nX-One: 1\nx-one: 2")
    assert (found.method, found.target) == ("GET", "/a?b=c")
    assert found.headers["X-ONE"] == "1, 2"


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("HTTP/1.1", None, True),
        ("HTTP/1.1", "close", False),
        ("HTTP/1.0", None, False),
        ("HTTP/1.0", "keep-alive", True),
    ],
)
def test_keep_alive(version: str, connection: str | None, stays: bool) -> None:
    line = f"\nConnection: {connection}" if connection else ""
    assert head(f"GET / {version}\nHost: x{line}").keep_alive is stays


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/2.0", 400),
        ("G\u00e9T / HTTP/1.1", 400),
        ("GET /\x00 HTTP/1.1", 400),
        ("GET / HTTP/1.1\nBad Name: x", 400),
        ("GET / HTTP/1.1\nName : x", 400),
        ("GET / HTTP/1.1\nHost: a\nHost: b", 400),
        ("GET / HTTP/1.1\nX: a\n folded", 400),
        ("POST / HTTP/1.1\nContent-Length: 1\nContent-Length: 2", 400),
        ("POST / HTTP/1.1\nContent-Length: +1", 400),
        ("POST / HTTP/1.1\nContent-Length: \u00b2", 400),
        ("POST / HTTP/1.1\nContent-Length: " + "1" * 4301, 400),
        ("POST / HTTP/1.1\nContent-Length: " + "0" * 4301, 400),
        ("POST / HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked", 400),
        ("POST / HTTP/1.1\nTransfer-Encoding: gzip, chunked", 501),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(text: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        head(text)
    assert refused.value.status == status


CHUNKED = "POST / HTTP/1.1\nTransfer-Encoding: chunked"


def test_chunks_are_joined_and_trailers_dropped() -> None:
    raw = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    assert body(CHUNKED, raw) == b"abcde"


@pytest.mark.parametrize("raw", [b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n", b"1\r\nabc\r\n0\r\n\r\n"])
def test_a_chunk_that_lies_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        body(CHUNKED, raw)
    assert refused.value.status == 400


def test_bodies_over_the_limit_are_refused_chunked_or_not() -> None:
    for text, raw in (
        ("POST / HTTP/1.1\nContent-Length: 101", b""),
        (CHUNKED, b"64\r\n" + b"a" * 100 + b"\r\n1\r\nb\r\n"),
    ):
        with pytest.raises(Refusal) as refused:
            body(text, raw)
        assert refused.value.status == 413


def test_requests_on_one_connection_are_told_apart_wherever_the_pieces_end() -> None:
    raw = b"POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nabGET /2 HTTP/1.1\r\n\r\n"
    for piece_bytes in range(1, 30):
        reader = reading(raw, piece_bytes)
        first = read_head(reader)
        assert first is not None
        assert read_body(reader, first, 100) == b"ab"
        second = read_head(reader)
        assert second is not None
        assert (first.target, second.target) == ("/1", "/2")
        assert read_head(reader) is None


def test_a_request_that_ends_in_its_header_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        read_head(reading(b"GET / HTTP/1.1\r\nHost: x"))
    assert refused.value.status == 400


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_header_that_is_too_large_is_refused(end: bytes) -> None:
    raw = b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD_BYTES + end
    with pytest.raises(Refusal) as refused:
        read_head(reading(raw, 100_000))
    assert refused.value.status == 431


def test_nobody_may_take_longer_than_the_deadline() -> None:
    reader = reading(b"GET / HTTP/1.1\r\n\r\n", 1)
    reader.deadline = time.monotonic() - 1
    with pytest.raises(TimeoutError):
        read_head(reader)
