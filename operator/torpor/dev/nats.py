"""The nats-server of one folder's events, for the length of a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from torpor.dev.keeper import InVain, keep, sole
from torpor.errors import TorporError
from torpor.triggers.broker.connection import BrokerSettings
from torpor.triggers.broker.embedded import EmbeddedFailed, EmbeddedNats


class NoBroker(TorporError):
    """Triggers cannot run here without a nats-server; the message says what to do."""

    code = "no-broker"


@asynccontextmanager
async def running_nats(place: Path) -> AsyncIterator[BrokerSettings]:
    """Run the server whose data is in `place`; NoBroker says why it cannot.

    A server that ends by itself is started again, at the same address; when that is in vain, the
    block is cancelled, and NoBroker raised.

    A thread of its own starts and stops it, because the server ends with the thread that started
    it: so it ends when this process is killed, and not before.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "nats") as thread:
        server = await loop.run_in_executor(thread, _started, place)

        async def start() -> None:
            await loop.run_in_executor(thread, server.start)

        try:
            async with asyncio.TaskGroup() as group:
                keeping = keep(server, start, "nats-server", (EmbeddedFailed, OSError))
                keeper = group.create_task(keeping, name="nats-server")
                try:
                    yield server.settings
                finally:
                    keeper.cancel()
        except BaseExceptionGroup as group:
            why = sole(group, (InVain,))
            if why is None:
                raise
            raise NoBroker(f"{why}; start torpor dev again: events wait until then") from group
        finally:
            await asyncio.shield(loop.run_in_executor(thread, server.stop))


def _started(place: Path) -> EmbeddedNats:
    try:
        server = EmbeddedNats(place)
        server.start()
    except (EmbeddedFailed, OSError) as error:
        raise NoBroker(f"Triggers need a broker: {error}") from error
    return server
