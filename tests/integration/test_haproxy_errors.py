"""What HAProxy answers by itself: the status, the problem, the end of the connection, the count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.haproxy import (
    HOST,
    SHOP,
    Function,
    Reply,
    ScriptedHolder,
    needs_haproxy,
    open_lane,
    raw,
    running_plane,
    send,
    serving,
    until,
)
from torpor.gateway.dataplane.base import Refused, Server
from torpor.telemetry.metrics import REFUSED

pytestmark = needs_haproxy

HEAD = f"POST / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
MALFORMED = {
    "not http": (b"\x16\x03\x01 hello\r\n\r\n",),
    "two lengths": (HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",),
    "a length list": (HEAD + b"Content-Length: 4, 5\r\n\r\nabcde",),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n",),
    "an unknown coding": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",),
    "a bad chunk": (CHUNKED + b"\r\nzz\r\nabc\r\n0\r\n\r\n",),
    "a bad chunk later": (CHUNKED + b"\r\n3\r\nabc\r\n", b"zz\r\n0\r\n\r\n"),
    "a space in a name": (HEAD + b"X : 1\r\n\r\n",),
    "two hosts": (HEAD + b"Host: other\r\n\r\n",),
    "a NUL": (HEAD + b"X: a\0b\r\n\r\n",),
    "a large header": (HEAD + b"X: " + b"a" * 65536 + b"\r\n\r\n",),
    "a long address": (b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n\r\n",),
    "many headers": (HEAD + b"".join(b"X%d: 1\r\n" % i for i in range(150)) + b"\r\n",),
}
WITH_PROBLEM = ("a bad chunk later",)
"""What HAProxy's parser finds only after the headers; before, it has but its own page."""


def count(code: str) -> float:
    return float(REFUSED.labels(code)._value.get())


async def counted(code: str, before: float, more: int = 1) -> None:
    await until(lambda: count(code) >= before + more)
    assert count(code) == before + more


def assert_problem(reply: Reply, status: int, code: str) -> None:
    body = json.loads(reply.body)
    assert reply.status == body["status"] == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert body["code"] == code
    assert body["requestId"] == reply.headers["x-request-id"] != ""


async def test_a_malformed_request_ends_its_connection_and_no_other() -> None:
    async with serving(Function("one")) as plane:
        bystander = await asyncio.open_connection("127.0.0.1", plane.port)
        before = count("bad-request")
        for what, parts in MALFORMED.items():
            reply, rest = await raw(plane.port, *parts)
            seen = (reply.status, reply.headers["connection"], rest)
            assert seen == (400, "close", b""), what
            if what in WITH_PROBLEM:
                assert_problem(reply, 400, "bad-request")
        bystander[1].write(HEAD + b"Content-Length: 0\r\n\r\n")
        assert (await bystander[0].readline()).startswith(b"HTTP/1.1 200")
        bystander[1].close()
        await counted("bad-request", before, len(MALFORMED))


async def test_headers_that_do_not_come_in_time_are_answered_408() -> None:
    async with running_plane(ScriptedHolder()) as plane:
        before = count("bad-request")
        reply, rest = await raw(plane.port, b"GET / HTTP/1.1\r\nHost:")
        assert (reply.status, reply.headers["connection"], rest) == (408, "close", b"")
        await counted("bad-request", before)


async def test_a_request_with_length_and_chunks_smuggles_nothing() -> None:
    function = Function("one")
    hidden = f"GET /hidden HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    async with serving(function) as plane:
        both = CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n" + hidden
        reply, rest = await raw(plane.port, both)
        assert (reply.status, reply.headers["connection"], rest) == (200, "close", b"")
        await send(plane.port, "/last")
    assert [seen.path for seen in function.seen] == ["/", "/last"]
    assert "content-length" not in function.seen[0].headers


async def test_a_folded_header_reaches_the_function_in_one_line() -> None:
    function = Function("one")
    async with serving(function) as plane:
        folded = HEAD + b"Content-Length: 0\r\nConnection: close\r\nX: a\r\n  b: c\r\n\r\n"
        reply, _ = await raw(plane.port, folded)
    assert reply.status == 200
    assert function.seen[0].headers["x"].split() == ["a", "b:", "c"]
    assert "b" not in function.seen[0].headers


async def test_an_unknown_address_is_counted() -> None:
    async with running_plane(ScriptedHolder()) as plane:
        before = count("unknown-function")
        assert_problem(await send(plane.port, host="no.where"), 404, "unknown-function")
        await counted("unknown-function", before)


@asynccontextmanager
async def ending_with(answer: bytes) -> AsyncIterator[Server]:
    """An instance that dies after it said `answer` of its answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Server("mortal", "127.0.0.1", server.sockets[0].getsockname()[1], 5)
    finally:
        server.close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"], ids=["none", "half"])
async def test_an_instance_that_dies_before_its_answer_is_a_502(said: bytes) -> None:
    async with ending_with(said) as server, running_plane(ScriptedHolder()) as plane:
        await plane.apply(SHOP, open_lane(server))
        before = count("bad-gateway")
        assert_problem(await send(plane.port, method="POST"), 502, "bad-gateway")
        await counted("bad-gateway", before)


async def test_an_instance_that_dies_within_its_answer_ends_the_connection() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
    other = Function("other")
    async with ending_with(said) as server, serving(other) as plane:
        bystander = asyncio.create_task(send(plane.port))
        assert (await bystander).status == 200
        await plane.apply(SHOP, open_lane(server))
        with pytest.raises(EOFError):
            await send(plane.port, method="POST")
        await plane.apply(SHOP, open_lane(other.server()))
        assert (await send(plane.port)).body == b"other"


async def test_a_late_function_is_a_504_and_its_own_errors_are_not_counted() -> None:
    late = Function("late", delay_seconds=5.0)
    async with serving(late, timeout_seconds=0.2) as plane:
        before = count("timeout")
        assert_problem(await send(plane.port, method="POST"), 504, "timeout")
        await counted("timeout", before)
        own = b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"
        async with ending_with(own) as server:
            await plane.apply(SHOP, open_lane(server))
            assert (await send(plane.port, method="POST")).body == b""
        unknown = count("unknown-function")
        await send(plane.port, host="no.where")
        await counted("unknown-function", unknown)
        assert count("timeout") == before + 1


async def test_what_python_refused_is_not_counted_twice() -> None:
    holder = ScriptedHolder()
    holder.answer(SHOP, Refused(503, "hold-full", "many wait", 1))
    async with running_plane(holder) as plane:
        before, unknown = count("unavailable"), count("unknown-function")
        assert_problem(await send(plane.port), 503, "hold-full")
        await send(plane.port, host="no.where")
        await counted("unknown-function", unknown)
        assert count("unavailable") == before
