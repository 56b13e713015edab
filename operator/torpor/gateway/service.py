"""`torpor gateway`: the activator, its data plane, the internal API and health in one process."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Protocol

from torpor.gateway.activator import Activator
from torpor.gateway.admin import Admin
from torpor.gateway.cluster import cluster
from torpor.gateway.dataplane.base import DataPlane
from torpor.gateway.deferred.serving import async_door
from torpor.gateway.homes import Membership
from torpor.gateway.http_table import HttpTable
from torpor.gateway.lambda_api.serving import lambda_api
from torpor.gateway.probe import TcpProber
from torpor.gateway.runs.serving import kept_runs
from torpor.platform.base import Platform
from torpor.platform.signals import told_to_end
from torpor.settings import GatewaySettings
from torpor.telemetry.health import Check, HealthServer
from torpor.telemetry.logs import configure
from torpor.telemetry.tracing import exporting

log = logging.getLogger(__name__)

WITHDRAW_SECONDS = 5.0
"""How long requests still arrive after readiness went: until everyone has heard of it."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a pod; NetworkPolicy says who may come


class WatchedPlane(DataPlane, Protocol):
    """A data plane whose carrier of requests (HAProxy) may die apart from this process."""

    @property
    def port(self) -> int:
        """Where clients connect."""
        ...

    @property
    def lambda_socket(self) -> Path:
        """Where it expects the Lambda API."""
        ...

    @property
    def async_socket(self) -> Path:
        """Where it expects the door for asynchronous calls."""
        ...

    def problem(self) -> str | None:
        """Return why no request is carried now, also while no function is awake; None if well."""
        ...

    def lost(self) -> str | None:
        """Return why only a restart of this process would help; None if it would not."""
        ...


async def run_gateway(
    settings: GatewaySettings,
    platform: Platform,
    plane: WatchedPlane,
    key: bytes,
    members: AsyncIterator[Mapping[str, str]],
    tables: AsyncIterator[HttpTable],
    *,
    stop: asyncio.Event,
    host: str = ANY_ADDRESS,
) -> None:
    """Serve until `stop` is set, then let open requests end and return.

    `key` is the installation's secret; `members` yields the ready gateways by name with address,
    `tables` where requests of Triggers go.
    OSError if a port is taken, DataPlaneError if the data plane does not start.
    """
    activator = _activator(settings, platform, plane)
    admin = Admin(activator, key)
    health = HealthServer(
        live={"haproxy lost": plane.lost}, ready=_readiness(activator, plane, stop)
    )
    async with (
        kept_runs(settings, key) as runs,
        async_door(settings, activator, plane, key, runs) as handover,
        lambda_api(settings, activator, plane, key, handover, runs),
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(activator.run(), name="activator")
        following = tasks.create_task(_follow(members, activator), name="members")
        routing = tasks.create_task(_follow_tables(tables, activator), name="trigger routes")
        await health.start(host, settings.metrics_port)
        await admin.start(host, settings.internal_port)
        await stop.wait()
        log.info("stopping", extra={"fields": {"drain_seconds": settings.drain_seconds}})
        await asyncio.sleep(min(WITHDRAW_SECONDS, settings.drain_seconds))
        # The activator goes on meanwhile: requests that are held still get their verdict.
        await plane.stop()
        following.cancel()
        routing.cancel()
        running.cancel()
        await admin.stop()
        await health.stop()


def main() -> int:
    """Run the role with the settings in the environment; return 0 after SIGTERM."""
    settings = GatewaySettings.from_environment()
    configure("gateway", settings.log_level)
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: GatewaySettings) -> None:
    stop = told_to_end()
    async with exporting("torpor-gateway") as emit, cluster(settings, emit) as found:
        await run_gateway(
            settings,
            found.platform,
            found.plane,
            found.key,
            found.members,
            found.tables,
            stop=stop,
        )


def _activator(settings: GatewaySettings, platform: Platform, plane: DataPlane) -> Activator:
    me = settings.pod_name or "gateway"
    return Activator(
        platform,
        plane,
        TcpProber(),
        membership=Membership(me, {me: settings.pod_ip}),
        boot=secrets.token_hex(8),
        random=Random(),  # noqa: S311 - spreads retries, guards nothing
        domain=settings.domain,
        cluster_domain=settings.cluster_domain,
        peer_port=settings.peer_port,
    )


async def _follow(members: AsyncIterator[Mapping[str, str]], activator: Activator) -> None:
    async for addresses in members:
        activator.set_members(addresses)


async def _follow_tables(tables: AsyncIterator[HttpTable], activator: Activator) -> None:
    async for table in tables:
        activator.set_table(table)


def _readiness(
    activator: Activator, plane: WatchedPlane, stop: asyncio.Event
) -> Mapping[str, Check]:
    return {
        "haproxy": plane.problem,
        "platform": activator.platform_problem,
        "triggers": activator.table_problem,
        "data plane": activator.plane_problem,
        "stopping": lambda: "the gateway is stopping" if stop.is_set() else None,
    }
