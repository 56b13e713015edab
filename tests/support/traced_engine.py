"""One engine that tells traces, as a process of its own to be killed: `… DSN GATEWAY OWNER`."""

from __future__ import annotations

import asyncio
import sys

from tests.support.engine_rig import KEY
from torpor.invoke import Invoker
from torpor.telemetry.tracing import exporting
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.catalog import catalog
from torpor.workflows.engine.world import WallClock
from torpor.workflows.ledger.postgres import open_ledger


async def _main(dsn: str, gateway: str, owner: str) -> None:
    async with (
        exporting(owner) as emit,
        open_ledger(dsn, 16) as ledger,
        Invoker(gateway) as invoker,
    ):
        engines: list[Engine] = []
        found = catalog(invoker, ledger, lambda: engines[0], WallClock())
        options = EngineOptions(owner, lease_seconds=1.0)
        engine = Engine(ledger, found.integrations, found.items, KEY, options, emit=emit)
        engines.append(engine)
        await engine.run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:4]))
