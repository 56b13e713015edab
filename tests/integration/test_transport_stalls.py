"""An API server that begins an answer and never ends it: nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.platform_rig import Anonymous
from torpor.errors import ApiUnavailable
from torpor.platform.kubernetes.config import Access
from torpor.platform.kubernetes.transport import Call, Limits, Transport


async def test_a_refusal_whose_body_stalls_ends_the_watch() -> None:
    left = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Away\r\nContent-Length: 50\r\n\r\n{")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(stall, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        access = Access(f"http://127.0.0.1:{port}", None, Anonymous())
        transport = Transport(access, Limits(attempt_seconds=0.3))
        watch = transport.lines(Call("watch", "GET", "/x"), inactivity_seconds=60)
        try:
            async with asyncio.timeout(5):
                with pytest.raises(ApiUnavailable, match="silent"):
                    await anext(watch)
        finally:
            await watch.aclose()
            await transport.close()
            await left.wait()
