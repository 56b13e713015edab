"""A process of its own that delivers Triggers, for tests that kill it.

    python -m tests.support.servers.dispatcher <nats-url> <token> <functions-url> <ack-wait> <json>

The JSON is a list of Triggers with their targets' facts. It prints a line once it delivers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.servers.function import Functions
from tests.support.servers.nats import Broker
from torpor.triggers.definitions import Definition

_ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def dispatcher(
    at: Broker, to: Functions, *definitions: Definition, ack_wait_seconds: float = 1.0
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that delivers; killed at the end of the block if it still lives."""
    manifests = json.dumps([(dict(each.manifest), dict(each.facts)) for each in definitions])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.servers.dispatcher",
        at.server.url,
        at.server.token,
        to.url,
        str(ack_wait_seconds),
        manifests,
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            assert await process.stdout.readline() == b"delivering\n"
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _main(url: str, token: str, functions: str, ack_wait: str, manifests: str) -> None:
    from tests.integration.delivery_rig import Outside, parts_for
    from torpor.resources.trigger import Trigger
    from torpor.triggers.broker.connection import BrokerSettings, connected
    from torpor.triggers.delivery.deliveries import Deliveries

    outside = Outside(ack_wait_seconds=float(ack_wait))
    async with (
        connected(BrokerSettings(servers=(url,), token=token)) as connection,
        parts_for(connection, functions, outside) as parts,
    ):
        deliveries = Deliveries(parts)
        for obj, facts in json.loads(manifests):
            trigger = Trigger.parse(obj)
            deliveries.heed(trigger.key, Definition(trigger, facts, 0.0, 0, 1, obj))
        print("delivering", flush=True)
        await deliveries.run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
