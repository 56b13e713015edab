"""What is under way keeps a function awake, however quiet it is: a long request, an open socket.

TORPOR_LONG_REQUEST_SECONDS says how long they last; with 300 it is the five minutes of a real one.
"""

from __future__ import annotations

import asyncio
import os
import time

import aiohttp
import pytest

from tests.cluster.harness import SCALING_QUICK, Lab
from tests.cluster.traffic import GATEWAY, send
from tests.cluster.watching import watched

LONG_SECONDS = float(os.environ.get("TORPOR_LONG_REQUEST_SECONDS", "12"))
PYTHON_IMAGE = os.environ.get("TORPOR_TEST_PYTHON_IMAGE", "torpor/runtime-python:dev")
"""Any image with a python3 that runs as a numeric user."""
ECHO = """
import asyncio, base64, hashlib, os

async def serve(reader, writer):
    lines = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")[1:-2]
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\n")
    writer.write(b"Connection: Upgrade\\r\\nSec-WebSocket-Accept: " + accept + b"\\r\\n\\r\\n")
    while True:
        kind, size = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        text = await reader.readexactly(size & 127)
        text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        writer.write(bytes([kind, len(text)]) + text)
        await writer.drain()

async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(os.environ["PORT"]))
    await server.serve_forever()

asyncio.run(main())
"""
"""A WebSocket that gives back every short message (RFC 6455, section 5)."""


@pytest.mark.timeout(LONG_SECONDS + 120)
async def test_a_long_request_keeps_its_function_awake(lab: Lab) -> None:
    limit = int(LONG_SECONDS) + 30
    host = await lab.make("long", timeoutSeconds=limit, scaling=dict(SCALING_QUICK))
    path = f"/sleep?ms={LONG_SECONDS * 1000:.0f}"
    async with watched(lab, "long") as replicas:
        answer = await send(host, path, deadline_seconds=limit + 60)
    print(f"{LONG_SECONDS:g} s inside a function of idleSeconds 1: sent 1, {answer}")
    assert answer.status == 200, answer
    assert answer.seconds >= LONG_SECONDS
    assert stayed(replicas)
    await lab.zero("long")


@pytest.mark.timeout(LONG_SECONDS + 120)
async def test_an_open_websocket_keeps_its_function_awake(lab: Lab) -> None:
    limit = int(LONG_SECONDS) + 30
    host = await lab.make(
        "socket",
        image=PYTHON_IMAGE,
        command=["python3", "-c", ECHO],
        timeoutSeconds=limit,
        scaling=dict(SCALING_QUICK),
    )
    await lab.zero("socket")
    began = time.monotonic()
    async with aiohttp.ClientSession() as session:
        wanted = session.ws_connect(f"http://{GATEWAY}/", headers={"Host": host})
        async with wanted as socket, watched(lab, "socket") as replicas:
            opened = time.monotonic() - began
            before = await told(socket, "before")
            await asyncio.sleep(LONG_SECONDS)
            after = await told(socket, "after")
    print(f"WebSocket open after {opened:.2f} s from zero, silent for {LONG_SECONDS:g} s:")
    print(f"sent 2 messages, received {before!r} and {after!r}")
    assert (before, after) == ("before", "after")
    assert stayed(replicas)
    await lab.zero("socket")


async def told(socket: aiohttp.ClientWebSocketResponse, message: str) -> str:
    """Send a message and return what comes back for it."""
    await socket.send_str(message)
    return await socket.receive_str(timeout=10)


def stayed(replicas: list[int]) -> bool:
    """Return whether the function, once it was awake, never was asked to sleep."""
    since = replicas[replicas.index(1) :]
    return len(since) > LONG_SECONDS and set(since) == {1}
