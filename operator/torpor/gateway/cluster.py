"""What `torpor gateway` finds in a cluster: its platform, HAProxy, the key and its peers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from torpor.errors import ApiError
from torpor.gateway.dataplane.haproxy.driver import HaproxyPlane
from torpor.gateway.http_table import HttpTable
from torpor.gateway.trigger_routes import watch_tables
from torpor.platform.base import Platform
from torpor.platform.kubernetes import (
    KubernetesApi,
    KubernetesPlatform,
    connect,
    wait_for_key,
    watch_gateway_pods,
)
from torpor.settings import GatewaySettings
from torpor.telemetry.tracing import Emit

log = logging.getLogger(__name__)

KEY_SECONDS = 300.0
"""How long the controller may take to make the key; then this process ends and is started again."""
_RETRY_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that the role is built from.

    `members` yields the gateways, name to address; `tables` where requests of Triggers go.
    """

    platform: Platform
    plane: HaproxyPlane
    key: bytes
    members: AsyncIterator[Mapping[str, str]]
    tables: AsyncIterator[HttpTable]


@asynccontextmanager
async def cluster(settings: GatewaySettings, emit: Emit | None) -> AsyncIterator[Cluster]:
    """Yield the cluster that this process is in; `emit` is told of requests that were held.

    NoCluster when there is none, TimeoutError when no key appears within `KEY_SECONDS`.
    """
    async with connect(settings) as api:
        key = await wait_for_key(api, settings.namespace, KEY_SECONDS)
        yield Cluster(
            KubernetesPlatform(api, settings.watch_namespace),
            HaproxyPlane(settings, emit=emit),
            key,
            _members(api, settings.namespace),
            watch_tables(api, settings.watch_namespace, events=bool(settings.events_url)),
        )


async def _members(api: KubernetesApi, namespace: str) -> AsyncIterator[Mapping[str, str]]:
    while True:
        try:
            async for addresses in watch_gateway_pods(api, namespace):
                yield addresses
        except ApiError as error:
            fields = {"problem": str(error)}
            log.warning("watching the gateways again", extra={"fields": fields})
        await asyncio.sleep(_RETRY_SECONDS)
