"""`torpor engine`: executions, the execution API, the internal API and health in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

from torpor.invoke import Invoker
from torpor.platform.kubernetes import connect, wait_for_key
from torpor.platform.signals import told_to_end
from torpor.resources.tokens import task_token_key
from torpor.settings import BadSetting, EngineSettings
from torpor.telemetry.health import HealthServer
from torpor.telemetry.logs import configure
from torpor.telemetry.tracing import exporting
from torpor.workflows.admin import MachineAdmin
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.catalog import Catalog, catalog
from torpor.workflows.engine.integrations.connection_files import ConnectionFiles
from torpor.workflows.engine.integrations.events import Events
from torpor.workflows.engine.integrations.objects import open_divided_store
from torpor.workflows.engine.integrations.reach import BadReach, Reach
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.world import WallClock, World
from torpor.workflows.ledger.base import Ledger, LedgerAway
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.stepfunctions.arns import Place
from torpor.workflows.stepfunctions.runner import IntegrationRunner
from torpor.workflows.stepfunctions.server import Server
from torpor.workflows.stepfunctions.service import Service, Settings

log = logging.getLogger(__name__)

KEY_SECONDS = 300.0
"""How long the controller may take to make the key; then this process ends and is started again."""
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a pod; NetworkPolicy says who may come
_LEDGER_PAUSE_SECONDS = 1.0
_EXPIRE_SECONDS = 600.0


async def run_engine(
    settings: EngineSettings, key: bytes, *, stop: asyncio.Event, host: str = ANY_ADDRESS
) -> None:
    """Serve until `stop` is set, then give the shards up and return.

    `key` is the installation's secret. OSError if a port is taken. Without PostgreSQL the process
    waits for it, alive but not ready.
    """
    async with AsyncExitStack() as stack:
        engines: list[Engine] = []
        emit = await stack.enter_async_context(exporting("torpor-engine"))
        health = HealthServer(
            live={},
            ready={
                "ledger": lambda: engines[0].problem() if engines else "PostgreSQL is away",
                "stopping": lambda: "the engine is stopping" if stop.is_set() else None,
            },
        )
        await health.start(host, settings.metrics_port)
        stack.push_async_callback(health.stop)
        ledger = await _ledger(stack, settings.ledger_dsn, stop)
        if ledger is None:
            return
        found = await _catalog(stack, settings, key, ledger, lambda: engines[0])
        engine = Engine(
            ledger,
            found.integrations,
            found.items,
            task_token_key(key),
            _me(settings),
            emit=emit,
        )
        engines.append(engine)
        async with (
            _at_work(engine, stop),
            _expiring(ledger),
            _served(settings, ledger, engine, key, found, host),
        ):
            await stop.wait()
            log.info("stopping")


def main() -> int:
    """Run the role with the settings in the environment; return 0 after SIGTERM."""
    settings = EngineSettings.from_environment()
    configure("engine", settings.log_level)
    if not settings.ledger_dsn:
        raise BadSetting("TORPOR_LEDGER_DSN: name the PostgreSQL that keeps the executions")
    check_clients(settings)
    reach_of(settings)
    asyncio.run(_serve(settings))
    return 0


def check_clients(settings: EngineSettings) -> None:
    """BadSetting unless clients can be known where only known ones may use the API."""
    if settings.api_clients not in ("anyone", "known"):
        raise BadSetting(
            f"TORPOR_API_CLIENTS: {settings.api_clients!r} is neither anyone nor known"
        )
    if settings.api_clients == "known" and not (settings.access_keys or settings.api_token):
        raise BadSetting(
            "TORPOR_API_CLIENTS: only known clients may use the API, but there is neither a key "
            "in TORPOR_ACCESS_KEYS nor a token in TORPOR_API_TOKEN"
        )


def reach_of(settings: EngineSettings) -> Reach:
    """What HTTP tasks may call; BadSetting names what cannot be understood."""
    try:
        return Reach.parse(settings.http_allow, settings.http_refuse)
    except BadReach as error:
        raise BadSetting(f"TORPOR_HTTP_ALLOW, TORPOR_HTTP_REFUSE: {error}") from None


def connections_of(settings: EngineSettings) -> ConnectionFiles:
    """The connections of HTTP tasks; without a folder there are none."""
    folder = settings.connections_folder
    return ConnectionFiles(Path(folder) if folder else None)


async def _serve(settings: EngineSettings) -> None:
    stop = told_to_end()
    async with connect(settings) as api:
        key = await wait_for_key(api, settings.namespace, KEY_SECONDS)
    await run_engine(settings, key, stop=stop)


def _me(settings: EngineSettings) -> EngineOptions:
    # A pod's name comes again after a restart of its container: the lease of the one before must
    # not be taken for ours.
    started = f"{time.time():.3f}"
    owner = f"{settings.pod_name or 'engine'}/{settings.pod_ip}/{started}"
    return EngineOptions(owner, drain_seconds=settings.drain_seconds)


async def _ledger(stack: AsyncExitStack, dsn: str, stop: asyncio.Event) -> Ledger | None:
    """The ledger as soon as PostgreSQL is there; None when told to stop before that."""
    while not stop.is_set():
        try:
            return await stack.enter_async_context(open_ledger(dsn))
        except LedgerAway as error:
            log.warning("waiting for PostgreSQL", extra={"fields": {"problem": str(error)}})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEDGER_PAUSE_SECONDS):
                await stop.wait()
    return None


async def _catalog(
    stack: AsyncExitStack,
    settings: EngineSettings,
    key: bytes,
    ledger: Ledger,
    engine: Callable[[], Engine],
) -> Catalog:
    """What states may do, with the clients it takes open until the stack ends."""
    invoker = await stack.enter_async_context(Invoker(settings.gateway_url, key=key))
    store = open_divided_store(settings.object_store) if settings.object_store else None
    events = None
    if settings.events_url:
        events = await stack.enter_async_context(Events(settings.events_url, settings.events_token))
    return catalog(
        invoker,
        ledger,
        engine,
        WallClock(),
        store,
        connections_of(settings),
        reach_of(settings),
        events,
    )


@asynccontextmanager
async def _at_work(engine: Engine, stop: asyncio.Event) -> AsyncIterator[None]:
    """Run the engine inside the block; the process ends when the engine does."""
    running = asyncio.create_task(engine.run(), name="engine")
    running.add_done_callback(lambda _: stop.set())
    try:
        yield
    finally:
        engine.stop_running()
        await running


@asynccontextmanager
async def _expiring(ledger: Ledger) -> AsyncIterator[None]:
    """Let what is past its retention go, now and then."""
    expiring = asyncio.create_task(_expire(ledger), name="retention")
    try:
        yield
    finally:
        expiring.cancel()
        await asyncio.wait([expiring])


async def _expire(ledger: Ledger) -> None:
    while True:
        try:
            gone = await ledger.expire(time.time())
            log.info("retention", extra={"fields": {"executions": gone}})
        except LedgerAway as error:
            log.warning("no retention now", extra={"fields": {"problem": str(error)}})
        await asyncio.sleep(_EXPIRE_SECONDS)


@asynccontextmanager
async def _served(
    settings: EngineSettings,
    ledger: Ledger,
    engine: Engine,
    key: bytes,
    found: Catalog,
    host: str,
) -> AsyncIterator[None]:
    place = replace(Place(), region=settings.region, account=settings.account)
    quota = settings.payload_bytes or None
    outside = World("", WallClock(), Random(), TaskTokens(task_token_key(key)))  # noqa: S311
    api = Server(
        Service(
            ledger,
            engine,
            outside,
            key,
            Settings(
                place,
                quota,
                credentials=tuple(settings.access_keys.items()),
                token=settings.api_token or None,
            ),
            IntegrationRunner(found.integrations, outside, place),
        )
    )
    admin = MachineAdmin(
        ledger, engine, key, arn_of=place.machine, wall=time.time, payload_bytes=quota
    )
    await api.start(host, settings.api_port)
    try:
        await admin.start(host, settings.internal_port)
        try:
            yield
        finally:
            await admin.stop()
    finally:
        await api.stop()
