"""The gateway's role as `make bench-gateway` measures it, in a process of its own.

python -m tests.load.gateway_at_work PORT TARGET_PORT ROUTES: the whole role with its HAProxy; only
Kubernetes is in memory. Of so many functions one is awake, its instance listens on TARGET_PORT.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tests.support.fake_platform import FakePlatform, function
from tests.support.real_gateway import real_gateway
from torpor.platform.base import Instance
from torpor.resources.names import FunctionKey

AWAKE = FunctionKey("shop", "awake")
HOST = "awake.shop.localhost"


def platform(target_port: int, routes: int) -> FakePlatform:
    """Return a cluster of so many functions."""
    cluster = FakePlatform()
    for number in range(routes - 1):
        cluster.add(function(f"asleep-{number}", uid=f"u{number}"))
    scaling = {"minReplicas": 1, "concurrency": {"limit": 0}}
    cluster.add(function(AWAKE.name, uid="awake", scaling=scaling))
    cluster.replicas[AWAKE] = 1
    cluster.put(
        Instance(AWAKE, "awake-0", "i0", "127.0.0.1", target_port, ready=True, terminating=False)
    )
    return cluster


async def main(port: int, target_port: int, routes: int) -> None:
    """Serve until told to end."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    haproxy = os.environ.get("TORPOR_TEST_HAPROXY", "haproxy")
    async with real_gateway(platform(target_port, routes), haproxy=haproxy, http_port=port):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
