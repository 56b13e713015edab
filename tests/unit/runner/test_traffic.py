"""A steady load keeps its rate, and does not pile up requests that nobody answers."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster import traffic

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_a_steady_load_waits_while_too_many_requests_are_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answering.wait()
        writer.write(ANSWER)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    monkeypatch.setattr(traffic, "GATEWAY", f"{host}:{port}")
    monkeypatch.setattr(traffic, "MOST_OPEN", 5)
    async with server, traffic.steady("any", per_second=200) as tally:
        await asyncio.sleep(0.3)
        assert (tally.sent, len(tally.answers)) == (5, 0)
        answering.set()
        await asyncio.sleep(0.3)
    assert tally.sent > 10
    tally.all_200()
