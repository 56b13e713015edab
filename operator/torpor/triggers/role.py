"""`torpor events`: sources, buses, deliveries, the events API and the internal API in one process.

Ready is who has the broker and knows the Triggers; without the broker the process is alive, takes
nothing and waits.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from torpor.aws.access import Access
from torpor.invoke import Invoker
from torpor.platform.kubernetes import KubernetesApi, connect, wait_for_key
from torpor.platform.signals import told_to_end
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import BadSetting, EventsSettings
from torpor.telemetry.health import HealthServer
from torpor.telemetry.logs import configure
from torpor.telemetry.tracing import exporting
from torpor.triggers.api.parts import ApiSettings
from torpor.triggers.assembly import EventsRole, Surroundings, running
from torpor.triggers.base import Secrets
from torpor.triggers.broker.beside import beside
from torpor.triggers.broker.connection import BrokerSettings
from torpor.triggers.cluster_secrets import ClusterSecrets
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.workflow_target import EngineClient
from torpor.triggers.gateway_capacity import GatewayCapacity, Resolve, resolver

log = logging.getLogger(__name__)

KEY_SECONDS = 300.0
"""How long the controller may take to make the key; then this process ends and is started again."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a pod; NetworkPolicy says who may come
_COPIES = (1, 3, 5)
_ALLOCATIONS = 50_000
"""Between two collections of garbage: what is in flight is walked through at each, for nothing."""


async def run_events(
    settings: EventsSettings,
    key: bytes,
    secrets: Secrets,
    api: KubernetesApi | None,
    *,
    stop: asyncio.Event,
    host: str = ANY_ADDRESS,
) -> None:
    """Serve until `stop` is set, then let deliveries end and return.

    `key` is the installation's secret. OSError if a port is taken.
    """
    roles: list[EventsRole] = []
    health = HealthServer(
        live={},
        ready={
            "broker": lambda: roles[0].problem if roles else "starting",
            "stopping": lambda: "the role is stopping" if stop.is_set() else None,
        },
    )
    async with AsyncExitStack() as stack:
        emit = await stack.enter_async_context(exporting("torpor-events"))
        await health.start(host, settings.metrics_port)
        stack.push_async_callback(health.stop)
        invoker = await stack.enter_async_context(Invoker(settings.gateway_url, key=key))
        engine = await _engine(stack, settings)
        known = _capacity(settings, key, lambda: roles[0].definitions.known if roles else {})
        capacity = await stack.enter_async_context(known)
        around = Surroundings(
            broker=broker_of(settings),
            key=key,
            identity=f"{settings.pod_name or 'events'}/{settings.pod_ip}/{time.time():.3f}",
            secrets=secrets,
            invoker=invoker,
            engine=engine,
            api=api,
            objects_url=settings.object_store,
            capacity=capacity,
            emit=emit,
            api_settings=api_settings(settings),
            ack_wait_seconds=settings.ack_wait_seconds,
            drain_seconds=settings.drain_seconds,
            host=host,
            api_port=settings.api_port,
            internal_port=settings.internal_port,
        )
        roles.append(await stack.enter_async_context(running(around)))
        await stop.wait()
        log.info("stopping")


def main() -> int:
    """Run the role with the settings in the environment; return 0 after SIGTERM."""
    settings = EventsSettings.from_environment()
    configure("events", settings.log_level)
    check(settings)
    collect_seldom()
    asyncio.run(_serve(settings))
    return 0


def collect_seldom() -> None:
    """Have Python look for garbage less often; a delivery takes a quarter less of the CPU's time.

    What is there by now, such as modules, is not looked at again.
    """
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS, 20, 100)


def check(settings: EventsSettings) -> None:
    """BadSetting for what makes no sense together."""
    if settings.api_clients not in ("anyone", "known"):
        raise BadSetting(
            f"TORPOR_API_CLIENTS: {settings.api_clients!r} is neither anyone nor known"
        )
    if settings.api_clients == "known" and not (settings.access_keys or settings.api_token):
        raise BadSetting(
            "TORPOR_API_CLIENTS: only known clients may use the API, but there is neither a key "
            "in TORPOR_ACCESS_KEYS nor a token in TORPOR_API_TOKEN"
        )
    if settings.stream_replicas not in _COPIES:
        raise BadSetting("TORPOR_STREAM_REPLICAS: streams have 1, 3 or 5 copies")


def broker_of(settings: EventsSettings) -> BrokerSettings:
    """Return where the broker is and who we are."""
    servers = tuple(server.strip() for server in settings.nats_url.split(",") if server.strip())
    if not servers:
        raise BadSetting("TORPOR_NATS_URL: name the servers of NATS with JetStream")
    return BrokerSettings(
        servers=servers,
        name=f"torpor-events {settings.pod_name}".strip(),
        user=settings.nats_user,
        password=settings.nats_password,
        token=settings.nats_token,
        credentials_file=settings.nats_credentials_file,
        ca_file=settings.nats_ca_file,
        certificate_file=settings.nats_certificate_file,
        key_file=settings.nats_key_file,
        replicas=settings.stream_replicas,
        store_bytes=settings.store_bytes,
        stream_max_bytes=settings.stream_bytes,
        inbox_messages=settings.inbox_messages,
    )


def api_settings(settings: EventsSettings) -> ApiSettings:
    """Return how the events API behaves."""
    return ApiSettings(
        access=Access(dict(settings.access_keys), settings.api_token or None),
        region=settings.region,
        account=settings.account,
        max_body_bytes=settings.max_body_bytes,
        max_places=settings.max_buses_and_queues,
    )


async def _engine(stack: AsyncExitStack, settings: EventsSettings) -> EngineClient | None:
    """The way to the engine, open until the stack ends; None where there is none."""
    url, token = settings.engine_api_url, settings.engine_token
    if not url:
        return None
    client = EngineClient(url, token, settings.region, settings.account)
    return await stack.enter_async_context(client)


@asynccontextmanager
async def _capacity(
    settings: EventsSettings, key: bytes, known: Callable[[], Mapping[FunctionKey, Definition]]
) -> AsyncIterator[GatewayCapacity]:
    """What the gateways know of Functions, asked of all of them beside the block."""

    def behind(service: str) -> Resolve:
        host = f"{service}.{settings.namespace}.svc.{settings.cluster_domain}"
        return resolver(host, settings.internal_port)

    async with aiohttp.ClientSession() as session:
        gateways, dispatchers = behind("torpor-gateway-internal"), behind("torpor-events-internal")
        capacity = GatewayCapacity(
            session, internal_token(key), gateways, dispatchers, known, time.monotonic
        )
        async with beside(capacity.run(), "capacity of Functions"):
            yield capacity


async def _serve(settings: EventsSettings) -> None:
    stop = told_to_end()
    async with connect(settings) as api:
        key = await wait_for_key(api, settings.namespace, KEY_SECONDS)
        await run_events(settings, key, ClusterSecrets(api), api, stop=stop)
