"""Clients that send too much, too slowly or two requests in one are refused; others go on."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from tests.cluster.harness import Lab
from tests.cluster.traffic import GATEWAY, send, steady

pytestmark = pytest.mark.timeout(180)

TIMES = 20
"""How often each request is sent."""
SLOW_CLIENTS = 200
PATIENCE_SECONDS = 45.0
"""Longer than a gateway waits for a header that does not end."""


async def test_headers_beyond_the_limit_are_refused(lab: Lab) -> None:
    host = await lab.make("one", scaling={"minReplicas": 1})
    await lab.replicas("one", least=1, within=60)
    head = f"GET /hidden HTTP/1.1\r\nHost: {host}\r\n".encode()
    large = {
        "64 KiB in one field": head + b"X: " + b"a" * 65536 + b"\r\n\r\n",
        "64 KiB in fields of 1 KiB": head + (b"X: " + b"a" * 1019 + b"\r\n") * 64 + b"\r\n",
        "150 fields": head + b"".join(b"X%d: 1\r\n" % n for n in range(150)) + b"\r\n",
        "an address of 64 KiB": b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\n\r\n",
    }
    async with steady(host, 50) as beside:
        answered = await statuses_of(large)
    print(f"beside: {beside}", *answered.items(), sep="\n")
    assert answered == {what: {(400,): TIMES} for what in large}
    beside.all_200()
    assert await reached(host) == beside.sent


async def test_a_request_that_hides_another_is_refused_or_is_one(lab: Lab) -> None:
    host = await lab.make("one", scaling={"minReplicas": 1})
    await lab.replicas("one", least=1, within=60)
    head = f"POST /open HTTP/1.1\r\nHost: {host}\r\n".encode()
    hidden = f"GET /hidden HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    length = b"Content-Length: %d\r\n"
    coded = b"Transfer-Encoding: chunked\r\n"
    refused = {
        "two lengths": head + length % 0 + length % len(hidden) + b"\r\n" + hidden,
        "a length list": head + b"Content-Length: 0, 9\r\n\r\n" + hidden,
        "an unknown coding": head + b"Transfer-Encoding: xchunked\r\n\r\n" + hidden,
        "a coding twice": head + coded + coded + b"\r\n0\r\n\r\n" + hidden,
        "a space before the colon": head + b"Content-Length : 0\r\n\r\n" + hidden,
        "a bare line feed in a chunk": head + coded + b"\r\n0\n\r\n" + hidden,
        "a NUL in a field": head + b"X: a\0b\r\n\r\n" + hidden,
    }
    one = {"chunked and a length": head + length % 4 + coded + b"\r\n0\r\n\r\n" + hidden}
    async with steady(host, 50) as beside:
        answered = await statuses_of(refused | one)
    print(f"beside: {beside}", *answered.items(), sep="\n")
    assert answered == {
        **{what: {(400,): TIMES} for what in refused},
        **{what: {(200,): TIMES} for what in one},
    }
    beside.all_200()
    assert await reached(host) == beside.sent + TIMES * len(one)


async def test_clients_that_never_finish_their_header_are_sent_away(lab: Lab) -> None:
    host = await lab.make("one", scaling={"minReplicas": 1})
    await lab.replicas("one", least=1, within=60)
    async with steady(host, 20) as beside, asyncio.TaskGroup() as tasks:
        slow = [
            tasks.create_task(dripping(host), name=f"slow {number}")
            for number in range(SLOW_CLIENTS)
        ]
    ends = [task.result() for task in slow]
    longest = max(seconds for _, seconds in ends)
    told = sorted({said[:12] for said, _ in ends})
    print(f"{SLOW_CLIENTS} slow clients: {told}, the last after {longest:.1f} s; beside: {beside}")
    assert longest < PATIENCE_SECONDS
    assert told == [b"HTTP/1.1 408"]
    beside.all_200()
    assert await reached(host) == beside.sent


async def dripping(host: str) -> tuple[bytes, float]:
    """Send a byte of a header each second; return what was answered, and when the end came."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(*GATEWAY.split(":"))
    answer = asyncio.ensure_future(reader.read())
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nX: ".encode())
        while not answer.done() and time.monotonic() - began < PATIENCE_SECONDS:
            writer.write(b"a")
            await asyncio.wait((answer,), timeout=1)
        return await asyncio.wait_for(answer, 1), time.monotonic() - began
    finally:
        writer.close()


async def statuses_of(requests: Mapping[str, bytes]) -> dict[str, Counter[tuple[int, ...]]]:
    """Send each of them `TIMES` times; return how often which statuses came back for it."""
    return {
        what: Counter([await sent(request) for _ in range(TIMES)])
        for what, request in requests.items()
    }


async def sent(request: bytes) -> tuple[int, ...]:
    """Send bytes over a connection of their own; return the status of each answer until its end.

    The end may be a reset, as there is more to read than was read; what came before it counts.
    """
    reader, writer = await asyncio.open_connection(*GATEWAY.split(":"))
    found = b""
    try:
        async with asyncio.timeout(20):
            writer.write(request)
            while part := await reader.read(65536):
                found += part
    except ConnectionError:
        pass
    finally:
        writer.close()
    return tuple(int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:])


async def reached(host: str) -> int:
    """Return how many requests the function's only instance has seen."""
    return int(json.loads((await send(host, "/stats")).body)["requests"])
