"""The embedded nats-server: it ends with its parent, keeps its port and data, and says why not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from tests.support.servers.nats import needs_nats, until
from torpor.triggers.broker.connection import connected
from torpor.triggers.broker.embedded import EmbeddedFailed, EmbeddedNats

pytestmark = needs_nats

_PARENT = """
import pathlib, sys, time
from torpor.triggers.broker.embedded import EmbeddedNats
server = EmbeddedNats(pathlib.Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


async def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PARENT, str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert b"nats-server" in _command(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    async def gone() -> bool:
        return not _command(pid)

    await until(gone)


async def test_it_keeps_its_port_and_its_token_and_nobody_else_may_read_them(
    tmp_path: Path,
) -> None:
    server = EmbeddedNats(tmp_path, mqtt_port=0)
    await asyncio.to_thread(server.start)
    port, mqtt_port = server.port, server.mqtt_port
    assert mqtt_port
    socket.create_connection(("127.0.0.1", mqtt_port), timeout=5).close()
    for secret in ("token", "nats.json"):
        assert (tmp_path / secret).stat().st_mode & 0o077 == 0
    await asyncio.to_thread(server.stop)
    server.start()
    try:
        assert (server.port, server.mqtt_port) == (port, mqtt_port)
        async with connected(EmbeddedNats(tmp_path, port=port).settings) as connection:
            await connection.link(5)
    finally:
        server.stop()


def test_a_port_that_is_taken_is_an_error_that_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedFailed, match="address already in use"):
            EmbeddedNats(tmp_path, port=taken.getsockname()[1]).start()


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
