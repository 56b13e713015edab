"""The role `torpor controller`: Kopf and our reflectors fill a queue, the leader works it off.

Kopf runs on every replica, in a thread with an event loop of its own: it takes every task of its
loop for its own and cancels them when it ends. Its handlers write nothing and only name a key.
A Lease gates the workers and the autoscaler. When Kopf ends, or the Lease is lost, the process
ends with an error and is started anew; nothing is lost, as all state is in Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import kopf

from torpor.errors import ApiUnavailable, TorporError
from torpor.functions.autoscaler import Autoscaler
from torpor.functions.gateways_http import HttpGateways
from torpor.functions.reconcile import FunctionReconciler, Installation
from torpor.functions.status import Seen
from torpor.functions.world import ClusterWorld
from torpor.platform.kubernetes import (
    Access,
    KubernetesApi,
    KubernetesPlatform,
    Lease,
    Recorder,
    WorkQueue,
    connect,
    ensure_key,
    find_access,
    watch_gateway_pods,
)
from torpor.platform.kubernetes.config import TokenFile
from torpor.resources import names
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.scaling.values import Direction
from torpor.settings import ControllerSettings
from torpor.telemetry import logs, metrics
from torpor.telemetry.health import Check, HealthServer

LOG = logging.getLogger(__name__)
LEASE_NAME = "torpor-controller"
RESYNC_SECONDS = 600.0
RECONCILE_SECONDS = 60.0
SILENT_SECONDS = 600.0
"""A watch that heard nothing for so long is stuck; an API server that is away is given that."""
STUCK_SECONDS = 300.0
"""A key that waited so long for a worker says that the workers are stuck."""
KOPF_STOP_SECONDS = 10.0
KOPF_IDENTITY = "torpor"
RECONCILES_PER_SECOND = 200.0


class KopfEnded(TorporError):
    """Kopf stopped by itself, such as on an error event in a watch; a restart mends it."""

    code = "kopf-ended"


class KopfThread:
    """Kopf in a thread: calls `named` on the loop that started it with every Function's key."""

    def __init__(
        self, access: Access, namespace: str, named: Callable[[FunctionKey], None]
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._named = named

    async def run(self) -> None:
        """Watch until cancelled; KopfEnded if Kopf ends before."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        stop = threading.Event()
        thread = threading.Thread(
            target=self._thread, args=(loop, ended, stop), name="kopf", daemon=True
        )
        thread.start()
        try:
            await asyncio.shield(ended)
            raise KopfEnded("Kopf ended without an error")
        finally:
            stop.set()
            await asyncio.to_thread(thread.join, KOPF_STOP_SECONDS)

    def _thread(
        self,
        loop: asyncio.AbstractEventLoop,
        ended: asyncio.Future[None],
        stop: threading.Event,
    ) -> None:
        error: KopfEnded | None = None
        try:
            asyncio.run(self._operate(loop, stop))
        except Exception as cause:  # whatever ended Kopf ends the process
            error = KopfEnded(f"Kopf ended: {cause!r}")
            error.__cause__ = cause
        loop.call_soon_threadsafe(_settle, ended, error)

    async def _operate(self, loop: asyncio.AbstractEventLoop, stop: threading.Event) -> None:
        try:
            await kopf.operator(
                registry=self._registry(loop),
                settings=_kopf_settings(),
                clusterwide=not self._namespace,
                namespaces=[self._namespace] if self._namespace else (),
                standalone=True,
                # Else Kopf asks for the user's name, which in a container has none.
                identity=KOPF_IDENTITY,  # type: ignore[arg-type]
                stop_flag=stop,
            )
        finally:
            # Kopf waits for the flag in a thread, which would keep the loop from closing.
            stop.set()

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
            return _login(self._access, **kwargs)

        @kopf.on.event(names.GROUP, names.VERSION, "functions", registry=registry)
        async def named(namespace: str | None, name: str | None, **_: Any) -> None:
            if namespace and name:
                loop.call_soon_threadsafe(self._named, FunctionKey(namespace, name))

        return registry


class Controller:
    """One replica of the role, over one API server."""

    def __init__(
        self, api: KubernetesApi, access: Access, settings: ControllerSettings, key: bytes
    ) -> None:
        self._api = api
        self._settings = settings
        self._key = key
        self._queue = WorkQueue[FunctionKey](rate_per_second=RECONCILES_PER_SECOND)
        self._leading = False
        self._members: Mapping[str, str] = {}
        namespace = settings.watch_namespace
        self._world = ClusterWorld(api, namespace, self._enqueue)
        self._kopf = KopfThread(access, namespace, self._enqueue)
        identity = settings.pod_name or f"controller-{random.randrange(16**8):08x}"  # noqa: S311
        self._lease = Lease(api, settings.namespace, LEASE_NAME, identity)
        self._recorder = Recorder(api, "controller", identity)

    async def run(self) -> None:
        """Watch, and lead when it is this replica's turn, until cancelled or something breaks."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._world.run(), name="world")
            group.create_task(self._run_kopf(), name="kopf")
            group.create_task(self._run_elected(), name="election")

    def checks(self) -> tuple[Mapping[str, Check], Mapping[str, Check]]:
        """Return the checks of `/healthz` and those that `/readyz` has besides."""
        return {"watches": self._silent, "workers": self._stuck}, {"caches": self._unsynced}

    def leads(self) -> bool:
        """Return whether this replica works the queue off."""
        return self._leading

    async def _run_kopf(self) -> None:
        # Kopf scans for the kind once, when it starts: by then the kind is there.
        await self._world.synced()
        await self._kopf.run()

    async def _run_elected(self) -> None:
        await self._world.synced()
        await self._lease.lead(self._lead)

    async def _lead(self) -> None:
        timeout = aiohttp.ClientTimeout(total=5.0)
        connector = aiohttp.TCPConnector(keepalive_timeout=30.0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            autoscaler = self._autoscaler(session)
            reconciler = self._reconciler(autoscaler)
            self._leading = True
            self._enqueue_all()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch_members(), name="gateway members")
                    group.create_task(autoscaler.run(), name="autoscaler")
                    group.create_task(self._resync(), name="resync")
                    group.create_task(
                        self._queue.run(
                            self._settings.workers, lambda key: self._work(reconciler, key)
                        ),
                        name="workers",
                    )
            finally:
                self._leading = False

    def _autoscaler(self, session: aiohttp.ClientSession) -> Autoscaler:
        settings = self._settings
        token = internal_token(self._key)
        gateways = HttpGateways(session, lambda: self._members, token, settings.internal_port)
        platform = KubernetesPlatform(self._api, settings.watch_namespace)
        return Autoscaler(platform, gateways, changed=self._enqueue)

    def _reconciler(self, autoscaler: Autoscaler) -> FunctionReconciler:
        return FunctionReconciler(
            self._api,
            self._world,
            self._recorder,
            Installation(self._settings, self._key),
            seen=lambda key: _seen(autoscaler, key),
            clock=time.monotonic,
            wall=lambda: datetime.now(UTC),
        )

    def _enqueue(self, key: FunctionKey) -> None:
        """Have the key worked on; a standby forgets it, as a new leader looks at every key."""
        if self._leading:
            self._queue.add(key)

    def _enqueue_all(self) -> None:
        for key in self._world.functions():
            self._queue.add(key)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            self._enqueue_all()

    async def _watch_members(self) -> None:
        async for members in watch_gateway_pods(self._api, self._settings.namespace):
            self._members = members

    async def _work(self, reconciler: FunctionReconciler, key: FunctionKey) -> float | None:
        began, result = time.monotonic(), "error"
        try:
            with logs.bound(function=str(key)):
                async with asyncio.timeout(RECONCILE_SECONDS):
                    again = await reconciler.reconcile(key)
            result = "ok" if again is None else "requeue"
            return again
        except TimeoutError:
            text = f"reconciling {key} took longer than {RECONCILE_SECONDS:g} s"
            raise ApiUnavailable(0, "Timeout", text) from None
        finally:
            metrics.RECONCILES.labels(result).inc()
            metrics.RECONCILE_SECONDS.observe(time.monotonic() - began)

    # Health

    def _silent(self) -> str | None:
        silent = self._world.silent_seconds()
        late = {kind: age for kind, age in silent.items() if age > SILENT_SECONDS}
        told = ", ".join(f"{kind} for {age:.0f} s" for kind, age in late.items())
        return f"nothing heard of {told}" if told else None

    def _stuck(self) -> str | None:
        oldest = self._queue.oldest_seconds()
        if not self._leading or oldest < STUCK_SECONDS:
            return None
        return f"a key has been waiting for {oldest:.0f} s"

    def _unsynced(self) -> str | None:
        missing = self._world.unsynced()
        return f"not listed yet: {', '.join(missing)}" if missing else None


async def run(settings: ControllerSettings, access: Access | None = None) -> None:
    """Run the role until SIGTERM or SIGINT; any error that ends it is raised."""
    access = access or find_access()
    async with connect(settings, access=access) as api:
        key = await ensure_key(api, settings.namespace)
        controller = Controller(api, access, settings, key)
        live, ready = controller.checks()
        health = HealthServer(live, ready)
        await health.start("0.0.0.0", settings.metrics_port)  # noqa: S104 - the kubelet asks
        try:
            await _until_signal(controller)
        finally:
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
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
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


def _seen(autoscaler: Autoscaler, key: FunctionKey) -> Seen:
    view = autoscaler.view(key)
    moved = view is not None and view.decision.direction is not Direction.STAY
    reason = view.decision.reason if view and moved else None
    return Seen(reason, autoscaler.cold_starts(key))


def _settle(ended: asyncio.Future[None], error: KopfEnded | None) -> None:
    if ended.done():
        return
    if error:
        ended.set_exception(error)
    else:
        ended.set_result(None)


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.chunk_size = 500
    settings.watching.server_timeout = 600
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    return settings


def _login(access: Access, **kwargs: Any) -> kopf.ConnectionInfo | None:
    if access.server.startswith("http:"):
        return kopf.ConnectionInfo(server=access.server)
    if isinstance(access.credentials, TokenFile):
        return kopf.login_with_service_account(**kwargs)
    return kopf.login_with_kubeconfig(**kwargs)
