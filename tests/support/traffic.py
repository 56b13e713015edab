"""Steady traffic whose every answer is noted, and an instance that can be killed."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.haproxy import send, until
from tests.support.real_gateway import free_port
from torpor.gateway.dataplane.base import Server

MORTAL = Path(__file__).parent / "mortal.py"


@dataclass
class Traffic:
    """Clients that send GET and POST by turns and repeat nothing."""

    port: int
    errors: list[tuple[str, str]] = field(default_factory=list)
    answered: int = 0
    slowest_seconds: float = 0.0
    _ids: itertools.count[int] = field(default_factory=itertools.count)

    async def client(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            number = next(self._ids)
            method = "POST" if number % 2 else "GET"
            began = loop.time()
            try:
                reply = await send(
                    self.port,
                    method=method,
                    headers={"X-Id": str(number)},
                    body=b"x" * 100 if method == "POST" else b"",
                )
                result = str(reply.status)
            except (OSError, EOFError, TimeoutError) as error:
                result = repr(error)
            self.slowest_seconds = max(self.slowest_seconds, loop.time() - began)
            if result == "200":
                self.answered += 1
            else:
                self.errors.append((method, result))

    def report(self, what: str) -> None:
        slowest = round(self.slowest_seconds, 3)
        print(f"{what}: {self.answered} answered, {Counter(self.errors)}, slowest {slowest} s")

    @asynccontextmanager
    async def flowing(self, clients: int = 12) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.client()) for _ in range(clients)]
        try:
            yield
            enough = self.answered + 50
            await until(lambda: self.answered >= enough)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class Mortal:
    """A function in a process of its own, with a log of what it got."""

    def __init__(self, name: str, log: Path) -> None:
        self.name, self.log, self.port = name, log, free_port()
        self._child: asyncio.subprocess.Process | None = None

    async def start(self) -> Mortal:
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, str(MORTAL), str(self.port), str(self.log), stdout=-1
        )
        assert self._child.stdout
        async with asyncio.timeout(10):
            assert await self._child.stdout.readline() == b"ready\n"
        return self

    async def kill(self) -> None:
        assert self._child
        self._child.send_signal(signal.SIGKILL)
        await self._child.wait()

    async def __aenter__(self) -> Mortal:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        if self._child and self._child.returncode is None:
            await self.kill()

    def server(self, limit: int = 5) -> Server:
        return Server(self.name, "127.0.0.1", self.port, limit)
