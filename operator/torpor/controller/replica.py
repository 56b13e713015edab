"""One replica of the controller: watches fill a queue, the leader works it off and scales.

A Lease gates the workers and the autoscaler. A leader that loses it stands by and competes again.
When Kopf ends, the replica ends with an error and the process is started anew; nothing is lost, as
all state is in Kubernetes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp

from torpor.controller import leftover, sight
from torpor.controller.kopf_events import KopfThread
from torpor.controller.triggers import TriggerLeader
from torpor.controller.workflows import WorkflowLeader
from torpor.errors import ApiUnavailable
from torpor.functions import usage
from torpor.functions.autoscaler import Autoscaler
from torpor.functions.children import Installation
from torpor.functions.gateways_http import HttpGateways
from torpor.functions.reconcile import FunctionReconciler
from torpor.functions.runs.counts import differs
from torpor.functions.runs.keeper import RunKeeper
from torpor.functions.runs.leader import RunLeader
from torpor.functions.runs.seen import RunJob
from torpor.functions.runs.telling import Teller
from torpor.functions.runs.watching import RunWatch
from torpor.functions.world import ClusterWorld
from torpor.platform.kubernetes import (
    Access,
    GatewayPods,
    KubernetesApi,
    Lease,
    LeaseLost,
    ObjectKey,
    Recorder,
    Reflector,
    SharedPlatform,
    WorkQueue,
)
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import ControllerSettings
from torpor.telemetry import logs, metrics
from torpor.telemetry.health import Check
from torpor.telemetry.tracing import Emit

LOG = logging.getLogger(__name__)
LEASE_NAME = "torpor-controller"
RESYNC_SECONDS = 600.0
RECONCILE_SECONDS = 60.0
SILENT_SECONDS = 600.0
"""A watch that heard nothing for so long is stuck; an API server that is away is given that."""
STUCK_SECONDS = 300.0
"""A key that waited so long for a worker says that the workers are stuck."""
RECONCILES_PER_SECOND = 500.0
GATEWAYS = "gateway pods"
RUNS = "jobs of runs"


class Controller:
    """One replica of the role, over one API server."""

    def __init__(
        self,
        api: KubernetesApi,
        access: Access,
        settings: ControllerSettings,
        key: bytes,
        emit: Emit | None = None,
    ) -> None:
        """`emit` takes the spans of runs; None where no traces are sent."""
        self._api = api
        self._settings = settings
        self._key = key
        self._emit = emit
        self._queue = _queue()
        self._leading = asyncio.Event()
        namespace = settings.watch_namespace
        self._workflows: WorkflowLeader | None = None
        self._triggers: TriggerLeader | None = None
        self._runs: RunLeader | None = None
        self._run_watch = RunWatch(api, namespace, self._run_changed)
        self._world = ClusterWorld(api, namespace, self._enqueue, self._config_map_changed)
        self._gateways = GatewayPods(api, settings.namespace)
        named = {
            "functions": self._enqueue,
            "workflows": self._workflow_changed,
            "triggers": self._trigger_changed,
        }
        self._kopf = KopfThread(access, namespace, named)
        identity = settings.pod_name or f"controller-{random.randrange(16**8):08x}"  # noqa: S311
        self._lease = Lease(api, settings.namespace, LEASE_NAME, identity)
        self._recorder = Recorder(api, "controller", identity)
        self.keeper = RunKeeper(
            api,
            self._run_watch,
            self._world.watched.function,
            settings,
            clock=time.monotonic,
            wall=_now,
        )
        """What gateways ask this replica for, whether it leads or not."""

    async def run(self) -> None:
        """Watch, and lead when it is this replica's turn, until cancelled or something breaks."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._world.run(), name="world")
            group.create_task(self._gateways.reflector.run(), name="reflect gateway pods")
            group.create_task(self._run_watch.reflector.run(), name="reflect jobs of runs")
            group.create_task(self._run_kopf(), name="kopf")
            group.create_task(self._run_elected(), name="election")

    def checks(self) -> tuple[Mapping[str, Check], Mapping[str, Check]]:
        """Return the checks of `/healthz` and those that `/readyz` has besides."""
        return {"watches": self._silent, "workers": self._stuck}, {"caches": self._unsynced}

    def leads(self) -> bool:
        """Return whether this replica works the queue off."""
        return self._leading.is_set()

    async def _run_kopf(self) -> None:
        # Kopf holds some KiB of every object, and on a standby nobody takes what it names. It scans
        # for the kind once, when it starts: a leader has synced, so by then the kind is there. Who
        # lost the Lease keeps it, as it may lead again soon.
        await self._leading.wait()
        await self._kopf.run()

    async def _run_elected(self) -> None:
        await self._world.synced()
        await self._gateways.reflector.synced.wait()
        await self._run_watch.reflector.synced.wait()
        while True:
            try:
                return await self._lease.lead(self._lead)
            except LeaseLost as error:
                LOG.warning("it stands by from now on: %s", error)

    async def _lead(self) -> None:
        self._queue = _queue()
        timeout = aiohttp.ClientTimeout(total=5.0)
        connector = aiohttp.TCPConnector(keepalive_timeout=30.0)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            given = (self._api, self._recorder, session, self._settings, self._key)
            workflows = WorkflowLeader(*given)
            triggers = TriggerLeader(*given, functions=self._world.watched, workflows=workflows)
            self._workflows, self._triggers = workflows, triggers
            runs = self._runs = self._run_leader(session)
            autoscaler = self._autoscaler(session, triggers)
            reconciler = self._reconciler(autoscaler)
            self._leading.set()
            self._enqueue_all()
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(autoscaler.run(), name="autoscaler")
                    group.create_task(self._resync(), name="resync")
                    group.create_task(workflows.run(), name="workflows")
                    group.create_task(triggers.run(), name="triggers")
                    group.create_task(runs.run(), name="runs")
                    group.create_task(
                        self._queue.run(
                            self._settings.workers, lambda key: self._work(reconciler, key)
                        ),
                        name="workers",
                    )
            finally:
                self._leading.clear()
                self._workflows = self._triggers = self._runs = None
                leftover.take_back()

    def _run_leader(self, session: aiohttp.ClientSession) -> RunLeader:
        return RunLeader(
            self._api,
            self._run_watch,
            Teller(self._api, self._recorder, self._world.function),
            session,
            self._settings.watch_namespace,
            clock=time.monotonic,
            wall=_now,
            emit=self._emit,
        )

    def _autoscaler(self, session: aiohttp.ClientSession, triggers: TriggerLeader) -> Autoscaler:
        gateways = HttpGateways(
            session,
            lambda: self._gateways.at(_now()),
            internal_token(self._key),
            self._settings.internal_port,
        )
        platform = SharedPlatform(self._api, self._world.watched)
        return Autoscaler(platform, gateways, changed=self._enqueue, lags=triggers.lags)

    def _reconciler(self, autoscaler: Autoscaler) -> FunctionReconciler:
        return FunctionReconciler(
            self._api,
            self._world,
            self._recorder,
            Installation(self._settings, self._key),
            seen=lambda key: sight.seen(autoscaler, self._run_watch, key),
            clock=time.monotonic,
            wall=_now,
        )

    def _enqueue(self, key: FunctionKey) -> None:
        """Have the key worked on; a standby forgets it, as a new leader looks at every key.

        What a standby counted of a function while it led goes with the function.
        """
        if self.leads():
            self._queue.add(key)
        elif self._world.watched.functions.get(key.namespace, key.name) is None:
            usage.forget(key)

    def _run_changed(self, key: ObjectKey, old: RunJob | None, new: RunJob | None) -> None:
        if self._runs:
            self._runs.changed(key)
        for job in (old, new):
            if job and differs(old, new):
                self._enqueue(job.key)

    def _workflow_changed(self, key: FunctionKey) -> None:
        if self._workflows:
            self._workflows.changed(key)
        if self._triggers:
            self._triggers.workflow_changed(key)

    def _trigger_changed(self, key: FunctionKey) -> None:
        if self._triggers:
            self._triggers.changed(key)

    def _config_map_changed(self, key: ObjectKey) -> None:
        if self._workflows:
            self._workflows.config_map_changed(key.namespace, key.name)

    def _enqueue_all(self) -> None:
        for key in self._world.functions():
            self._queue.add(key)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            self._enqueue_all()

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
        ours: Mapping[str, Reflector[Any]] = {
            GATEWAYS: self._gateways.reflector,
            RUNS: self._run_watch.reflector,
        }
        idle = {kind: reflector.idle_seconds() for kind, reflector in ours.items()}
        silent = {**self._world.silent_seconds(), **idle}
        late = {kind: age for kind, age in silent.items() if age > SILENT_SECONDS}
        told = ", ".join(f"{kind} for {age:.0f} s" for kind, age in late.items())
        return f"nothing heard of {told}" if told else None

    def _stuck(self) -> str | None:
        oldest = self._queue.oldest_seconds()
        if not self.leads() or oldest < STUCK_SECONDS:
            return None
        return f"a key has been waiting for {oldest:.0f} s"

    def _unsynced(self) -> str | None:
        missing = list(self._world.unsynced())
        if not self._gateways.reflector.synced.is_set():
            missing.append(GATEWAYS)
        if not self._run_watch.reflector.synced.is_set():
            missing.append(RUNS)
        return f"not listed yet: {', '.join(missing)}" if missing else None


def _queue() -> WorkQueue[FunctionKey]:
    return WorkQueue(rate_per_second=RECONCILES_PER_SECOND)


def _now() -> datetime:
    return datetime.now(UTC)
