"""What the runtime's HTTP reader takes, and what it refuses."""

from __future__ import annotations

import asyncio

import pytest

from torpor_runtime.wire import Refusal, parse_head, read_body


def head(text: str):  # type: ignore[no-untyped-def]
    return parse_head((text.replace("\n", "\r\n") + "\r\n\r\n").encode("latin-1"))


async def body(text: str, content: bytes, limit: int = 100) -> bytes:
    reader = asyncio.StreamReader()
    reader.feed_data(content)
    reader.feed_eof()
    return await read_body(reader, head(text), limit)


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
        ("POST / HTTP/1.1\nContent-Length: 1\nTransfer-Encoding: chunked", 400),
        ("POST / HTTP/1.1\nTransfer-Encoding: gzip, chunked", 501),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(text: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        head(text)
    assert refused.value.status == status


CHUNKED = "POST / HTTP/1.1\nTransfer-Encoding: chunked"


async def test_chunks_are_joined_and_trailers_dropped() -> None:
    raw = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    assert await body(CHUNKED, raw) == b"abcde"


@pytest.mark.parametrize("raw", [b"x\r\n", b"-1\r\n", b"0x1\r\na\r\n", b"1\r\nabc\r\n0\r\n\r\n"])
async def test_a_chunk_that_lies_is_refused(raw: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        await body(CHUNKED, raw)
    assert refused.value.status == 400


async def test_bodies_over_the_limit_are_refused_chunked_or_not() -> None:
    for text, raw in (
        ("POST / HTTP/1.1\nContent-Length: 101", b""),
        (CHUNKED, b"64\r\n" + b"a" * 100 + b"\r\n1\r\nb\r\n"),
    ):
        with pytest.raises(Refusal) as refused:
            await body(text, raw)
        assert refused.value.status == 413
