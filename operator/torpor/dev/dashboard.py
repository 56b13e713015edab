"""The dashboard of `torpor dev`: always there, and at work only while somebody looks."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from torpor.dashboard.gathering import Gathering
from torpor.dashboard.guard import on_this_machine
from torpor.dashboard.server import Dashboard, served
from torpor.dashboard.stream import Stream
from torpor.dev import chaosdoor
from torpor.dev.dashboard_sources import sources_of
from torpor.dev.ports import HOST
from torpor.telemetry import intake
from torpor.telemetry.intake import Intake
from torpor.telemetry.metrics import REGISTRY
from torpor.telemetry.otlp_forward import forwarding

if TYPE_CHECKING:
    from torpor.dev.session import Session

PERIOD_SECONDS = 1.0


@asynccontextmanager
async def dashboard(
    session: Session, port: int | None, tasks: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Serve the session's dashboard inside the block; nothing for no port. OSError if it is taken.

    At the same port are the metrics of all roles, which are in this process, and spans are taken,
    and handed on to the collector that the environment names.
    """
    if port is None:
        yield
        return
    async with sources_of(session) as sources, forwarding(os.environ) as hand_on:
        gathering = Gathering(sources, time.time)
        stream = Stream(gathering.snapshot, PERIOD_SECONDS)
        taking = Intake(session.spans.add, hand_on)
        routes = [
            web.post(intake.PATH, taking.post),
            web.get("/metrics", _metrics),
            *chaosdoor.routes(session),
        ]
        app = Dashboard(sources, gathering, stream).application(on_this_machine(), routes)
        watching = tasks.create_task(stream.run(), name="dashboard")
        try:
            async with served(app, HOST, port):
                yield
        finally:
            watching.cancel()


async def _metrics(_: web.Request) -> web.Response:
    return web.Response(
        body=generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
