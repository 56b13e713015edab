"""A process that takes a lease, says so, holds it, and says when it gave it back or lost it.

python -m tests.support.servers.lease_holder URL TOKEN IDENTITY
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time

from torpor.triggers.broker.connection import BrokerSettings, connected
from torpor.triggers.broker.leases import LeaseLost, Leases, Timing

TIMING = Timing(live=2.0, deadline=1.4, renew=0.5, retry=0.1)
"""The product's, five times faster."""
KEY = "source.test"


def _say(word: str) -> None:
    print(word, time.monotonic(), flush=True)  # one machine: one monotonic clock


async def _hold(leases: Leases) -> None:
    try:
        async with leases.held(KEY):
            _say("held")
            await asyncio.Event().wait()
    except LeaseLost:
        _say("lost")
    except asyncio.CancelledError:
        _say("released")


async def _main(url: str, token: str, identity: str) -> None:
    async with connected(BrokerSettings(servers=(url,), token=token)) as connection:
        leases = Leases(connection, identity, clock=time.monotonic, timing=TIMING)
        holding = asyncio.create_task(_hold(leases), name="hold")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, holding.cancel)
        await asyncio.wait((holding,))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
