"""The whole of the execution API for a test: boto3, the API, the engine, and a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.memory_engine import RealOutside
from tests.support.postgres import fresh_database
from tests.support.stepfunctions_rig import SHORT_POLL, Rig, make_client
from torpor.workflows.asl.events import ReadItems, WriteResults
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Json
from torpor.workflows.engine.base import Integration
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Machine
from torpor.workflows.stepfunctions.arns import Place
from torpor.workflows.stepfunctions.runner import IntegrationRunner
from torpor.workflows.stepfunctions.server import Server
from torpor.workflows.stepfunctions.service import Service

KEY = b"k" * 32
NO_INTEGRATIONS: Mapping[str, Integration] = {}


class NoItems:
    """An object store that nobody uses."""

    async def read(self, machine: Machine, request: ReadItems) -> list[Json]:
        raise AssertionError("nothing reads items here")

    async def write(self, machine: Machine, request: WriteResults) -> Payload:
        raise AssertionError("nothing writes results here")


@dataclass
class Whole(Rig):
    """Calls of a real API; `ledger` is what is behind it."""

    ledger: Ledger | None = None

    async def machine(self, arn: str) -> Machine:
        """Return the machine as the ledger has it."""
        assert self.ledger is not None
        return await self.ledger.machine(arn)


@asynccontextmanager
async def serving_whole(
    integrations: Mapping[str, Integration] = NO_INTEGRATIONS,
) -> AsyncIterator[Whole]:
    """An API over an engine and a database of its own."""
    outside = RealOutside()
    async with fresh_database() as dsn, open_ledger(dsn, shards=8) as ledger:
        engine = Engine(ledger, integrations, NoItems(), KEY, EngineOptions("one"))
        running = asyncio.create_task(engine.run(), name="engine")
        runner = IntegrationRunner(integrations, outside, Place())
        server = Server(Service(ledger, engine, outside, KEY, SHORT_POLL, runner))
        await server.start("127.0.0.1", 0)
        client: Any = make_client(server.port)
        try:
            yield Whole(client, server.port, ledger=ledger)
        finally:
            client.close()
            await server.stop()
            engine.stop_running()
            await asyncio.wait_for(running, 20)
