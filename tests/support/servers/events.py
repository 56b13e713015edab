"""`torpor events` in a process of its own, without a cluster: for tests that kill it, and figures.

    python -m tests.support.servers.events

Its settings come by the environment, as those of the role in a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.support.events_role import KEY, NoSecrets, free_port
from tests.support.servers.nats import until
from torpor.resources.tokens import internal_token
from torpor.settings import EventsSettings
from torpor.telemetry.logs import configure
from torpor.triggers.broker.embedded import EmbeddedNats
from torpor.triggers.role import collect_seldom, run_events
from torpor.triggers.standings import Standings

_ROOT = Path(__file__).parents[3]
_LOOPBACK = "127.0.0.1"


@dataclass
class EventsProcess:
    """One replica; its ports stay when it is killed and started again."""

    name: str
    nats: EmbeddedNats
    gateway_url: str
    ack_wait_seconds: int = 30
    log: Path = Path(os.devnull)
    engine_url: str = ""
    api_port: int = field(default_factory=free_port)
    internal_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        """Where events come in."""
        return f"http://{_LOOPBACK}:{self.api_port}"

    def standings(self, session: aiohttp.ClientSession) -> Standings:
        """A client of its internal API."""
        url = f"http://{_LOOPBACK}:{self.internal_port}"
        return Standings(session, url, internal_token(KEY))

    def start(self) -> None:
        """Start it; `ready` waits until it works."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.servers.events"],
                cwd=_ROOT,
                env={**os.environ, **self._environment()},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it at once, as a crash would; frozen or not."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None, "it was started"
        self.process.send_signal(number)

    async def ready(self, session: aiohttp.ClientSession, seconds: float = 60.0) -> None:
        """Wait until it takes and delivers events."""
        url = f"http://{_LOOPBACK}:{self.metrics_port}/readyz"

        async def answers() -> bool:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    return answer.status == 200
            return False

        await until(answers, seconds)

    def _environment(self) -> dict[str, str]:
        found = {
            "NATS_URL": self.nats.url,
            "NATS_TOKEN": self.nats.token,
            "GATEWAY_URL": self.gateway_url,
            "ACK_WAIT_SECONDS": self.ack_wait_seconds,
            "API_PORT": self.api_port,
            "INTERNAL_PORT": self.internal_port,
            "METRICS_PORT": self.metrics_port,
            "POD_NAME": self.name,
            "ENGINE_API_URL": self.engine_url,
        }
        return {f"TORPOR_{name}": str(value) for name, value in found.items()}


@contextlib.asynccontextmanager
async def events_process(
    nats: EmbeddedNats, gateway_url: str, session: aiohttp.ClientSession
) -> AsyncIterator[EventsProcess]:
    """A replica that is ready; killed at the end."""
    process = EventsProcess("events", nats, gateway_url)
    process.start()
    try:
        await process.ready(session)
        yield process
    finally:
        process.kill()


async def _main() -> None:
    settings = EventsSettings.from_environment()
    configure("events", settings.log_level)
    collect_seldom()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_events(settings, KEY, NoSecrets(), None, stop=stop, host=_LOOPBACK)


if __name__ == "__main__":
    asyncio.run(_main())
