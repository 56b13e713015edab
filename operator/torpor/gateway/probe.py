"""Whether an instance listens, asked of itself: the shortest way to know."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from enum import Enum
from typing import Protocol

from torpor.gateway.announcements import Endpoint

PROBE_SECONDS = 0.02
"""How often an instance that is waited for is asked."""
CONNECT_SECONDS = 0.2
"""How long one attempt may take; an address that answers at all does so far sooner."""


class Heard(Enum):
    """What came of asking."""

    LISTENS = "it accepts connections"
    REFUSED = "connection refused"
    SILENT = "no connection"


class Prober(Protocol):
    """Asks one address once."""

    async def ask(self, address: str, port: int) -> Heard:
        """Return whether something accepts connections there."""
        ...


class TcpProber:
    """Connects and closes again, without sending anything."""

    async def ask(self, address: str, port: int) -> Heard:
        """Return what came of a TCP connection within `CONNECT_SECONDS`."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.get_running_loop().sock_connect(connection, (address, port))
            except ConnectionRefusedError:
                return Heard.REFUSED
            except (OSError, TimeoutError):
                return Heard.SILENT
        return Heard.LISTENS


class Probes:
    """Asks each of a changing set of endpoints until it listens or is no longer wanted.

    `heard` is what was heard last of each that is still asked.
    """

    def __init__(self, prober: Prober, connected: Callable[[Endpoint], None]) -> None:
        self._prober = prober
        self._connected = connected
        self._running: dict[Endpoint, asyncio.Task[None]] = {}
        self.heard: dict[Endpoint, Heard] = {}

    def keep(self, endpoints: Collection[Endpoint], tasks: asyncio.TaskGroup) -> None:
        """Ask exactly these from now on."""
        for endpoint in self._running.keys() - set(endpoints):
            self._running.pop(endpoint).cancel()
            self.heard.pop(endpoint, None)
        for endpoint in endpoints:
            if endpoint not in self._running:
                name = f"probe {endpoint[0]}:{endpoint[1]}"
                self._running[endpoint] = tasks.create_task(self._ask(endpoint), name=name)

    async def _ask(self, endpoint: Endpoint) -> None:
        while (heard := await self._prober.ask(*endpoint)) is not Heard.LISTENS:
            self.heard[endpoint] = heard
            # Many at once take turns, so that asking never takes more than its share of a core.
            turn_seconds = len(self._running) * _TURN_SECONDS
            await asyncio.sleep(max(PROBE_SECONDS, turn_seconds))
        self._running.pop(endpoint, None)
        self.heard.pop(endpoint, None)
        self._connected(endpoint)


_TURN_SECONDS = 0.002
