"""`torpor dashboard --in-cluster`: the page, the intake of spans, and health in one process.

The page asks for the installation's internal token: whoever may read the Secret comes in, through
the API server, and no other pod does. Spans are taken from everybody whom policies let come.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
from aiohttp import web

from torpor.dashboard.cluster.sources import ClusterSources
from torpor.dashboard.gathering import Gathering
from torpor.dashboard.guard import with_token
from torpor.dashboard.server import Dashboard, served
from torpor.dashboard.stream import Stream
from torpor.platform.kubernetes import KubernetesApi, connect, wait_for_key
from torpor.platform.signals import told_to_end
from torpor.resources.tokens import internal_token
from torpor.settings import DashboardSettings
from torpor.telemetry import intake
from torpor.telemetry.health import HealthServer
from torpor.telemetry.intake import Intake
from torpor.telemetry.logs import configure
from torpor.telemetry.otlp_forward import forwarding
from torpor.telemetry.spanstore import SpanStore

log = logging.getLogger(__name__)

KEY_SECONDS: Final = 300.0
"""How long the controller may take to make the key; then this process ends and is started again."""
ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - in a pod; NetworkPolicy says who may come
PERIOD_SECONDS: Final = 2.0
"""Between two snapshots: each lists Functions, Triggers and Jobs."""


async def run_dashboard(
    settings: DashboardSettings,
    key: bytes,
    api: KubernetesApi,
    *,
    stop: asyncio.Event,
    host: str = ANY_ADDRESS,
) -> None:
    """Serve until `stop` is set. `key` is the installation's secret. OSError if a port is taken."""
    spans = SpanStore()
    stopping = {"stopping": lambda: "the role is stopping" if stop.is_set() else None}
    health = HealthServer(live={}, ready=stopping)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        hand_on = await stack.enter_async_context(forwarding(os.environ))
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        sources = ClusterSources(api, http, settings, spans, key)
        gathering = Gathering(sources, time.time)
        stream = Stream(gathering.snapshot, PERIOD_SECONDS)
        taking, routes = web.Application(), [web.post(intake.PATH, Intake(spans.add, hand_on).post)]
        taking.router.add_routes(routes)
        guard = with_token(internal_token(key))
        page = Dashboard(sources, gathering, stream).application(guard, routes)
        await stack.enter_async_context(served(taking, host, settings.otlp_port))
        await stack.enter_async_context(served(page, host, settings.dashboard_port))
        await health.start(host, settings.metrics_port)
        stack.push_async_callback(health.stop)
        watching = tasks.create_task(stream.run(), name="snapshots")
        await stop.wait()
        watching.cancel()
        log.info("stopping")


def main() -> int:
    """Run the role with the settings in the environment; return 0 after SIGTERM."""
    settings = DashboardSettings.from_environment()
    configure("dashboard", settings.log_level)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: DashboardSettings) -> None:
    stop = told_to_end()
    async with connect(settings) as api:
        key = await wait_for_key(api, settings.namespace, KEY_SECONDS)
        await run_dashboard(settings, key, api, stop=stop)
