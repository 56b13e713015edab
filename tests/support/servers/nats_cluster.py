"""Three nats-servers that keep streams together, one of which can be killed and come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

from torpor.triggers.broker.connection import BrokerSettings
from torpor.triggers.broker.embedded import find_program

SIZE = 3


class NatsCluster:
    """The servers by number; started and ended by `nats_cluster`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = _free_ports(3 * SIZE)
        self._ports, self._watches = ports[: 2 * SIZE], ports[2 * SIZE :]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def settings(self) -> BrokerSettings:
        """How to connect, with three copies of each stream."""
        urls = tuple(f"nats://127.0.0.1:{port}" for port in self._ports[:SIZE])
        return BrokerSettings(servers=urls, replicas=SIZE)

    def start(self, number: int) -> None:
        folder = self._folder / f"n{number}"
        folder.mkdir(exist_ok=True)
        config = folder / "nats.json"
        config.write_text(json.dumps(self._configuration(number, folder)))
        with (folder / "nats.log").open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [str(find_program()), "-c", str(config)], stdout=log, stderr=log
            )

    def kill(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.wait(10)

    def is_whole(self) -> bool:
        """Whether each server has all it should have."""
        return all(_is_healthy(port) for port in self._watches)

    def kill_all(self) -> None:
        for number in tuple(self._processes):
            self.kill(number)

    def _configuration(self, number: int, folder: Path) -> dict[str, object]:
        routes = self._ports[SIZE:]
        return {
            "server_name": f"n{number}",
            "listen": f"127.0.0.1:{self._ports[number]}",
            "http": f"127.0.0.1:{self._watches[number]}",
            "jetstream": {"store_dir": str(folder / "data"), "sync_interval": "always"},
            "cluster": {
                "name": "test",
                "listen": f"127.0.0.1:{routes[number]}",
                "routes": [f"nats://127.0.0.1:{port}" for port in routes],
            },
        }


@contextlib.asynccontextmanager
async def nats_cluster() -> AsyncIterator[NatsCluster]:
    """Three servers, all started; they need seconds to find one another."""
    with tempfile.TemporaryDirectory(prefix="torpor-test-nats-") as folder:
        cluster = NatsCluster(Path(folder))
        try:
            for number in range(SIZE):
                cluster.start(number)
            yield cluster
        finally:
            await asyncio.to_thread(cluster.kill_all)


def _is_healthy(port: int) -> bool:
    """What a nats-server says of itself and its copies at its monitoring port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:  # not up yet, or 503
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
