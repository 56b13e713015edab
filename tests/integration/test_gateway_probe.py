"""What the prober says of real sockets."""

from __future__ import annotations

import asyncio
import socket

from torpor.gateway.probe import CONNECT_SECONDS, Heard, TcpProber


async def test_a_port_that_listens_and_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await TcpProber().ask("127.0.0.1", port) is Heard.LISTENS
    assert await TcpProber().ask("127.0.0.1", port) is Heard.REFUSED


async def test_a_backlog_that_is_full_is_silent_and_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        with socket.create_connection(address):
            async with asyncio.timeout(CONNECT_SECONDS * 3):
                assert await TcpProber().ask(*address) is Heard.SILENT
