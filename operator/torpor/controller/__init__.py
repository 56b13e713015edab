"""The role `torpor controller`: the process around a replica, its health and its signals.

Our reflectors run on every replica; one of them leads, and runs Kopf.
"""

from __future__ import annotations

import asyncio
import logging

from torpor.controller.kopf_events import KopfEnded
from torpor.controller.replica import Controller
from torpor.errors import TorporError
from torpor.functions.runs.api import RunsApi
from torpor.platform.kubernetes import Access, connect, ensure_key, find_access
from torpor.platform.signals import told_to_end
from torpor.resources.tokens import internal_token
from torpor.settings import ControllerSettings
from torpor.telemetry import logs
from torpor.telemetry.health import HealthServer
from torpor.telemetry.tracing import exporting

LOG = logging.getLogger(__name__)

__all__ = ["Controller", "KopfEnded", "main", "run"]


async def run(settings: ControllerSettings, access: Access | None = None) -> None:
    """Run the role until SIGTERM or SIGINT; any error that ends it is raised."""
    access = access or find_access()
    async with exporting("torpor-controller") as emit, connect(settings, access=access) as api:
        key = await ensure_key(api, settings.namespace)
        controller = Controller(api, access, settings, key, emit)
        live, ready = controller.checks()
        health = HealthServer(live, ready)
        runs = RunsApi(controller.keeper, internal_token(key))
        await health.start("0.0.0.0", settings.metrics_port)  # noqa: S104 - the kubelet asks
        try:
            await runs.start("0.0.0.0", settings.internal_port)  # noqa: S104 - gateways ask
            await _until_signal(controller)
        finally:
            await runs.stop()
            await health.stop()


def main() -> int:
    """Run the role with the settings of the environment; return the exit code."""
    settings = ControllerSettings.from_environment()
    logs.configure("controller", settings.log_level)
    # A line for every call of a handler that only names a key says nothing.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    try:
        asyncio.run(run(settings))
    except (TorporError, ExceptionGroup):
        LOG.exception("the controller ends with an error")
        return 1
    return 0


async def _until_signal(controller: Controller) -> None:
    stopped = told_to_end()
    work = asyncio.create_task(controller.run(), name="controller")
    bell = asyncio.create_task(stopped.wait(), name="signal")
    try:
        await asyncio.wait([work, bell], return_when=asyncio.FIRST_COMPLETED)
    finally:
        bell.cancel()
        if not work.done():
            work.cancel()
        await asyncio.wait([work])
    if not work.cancelled():
        work.result()
