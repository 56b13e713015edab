"""The leader's share for Workflows: a queue of keys, and what the engine tells every few seconds.

Counts are asked for all machines at once, at a fixed rate, and only a Workflow whose counts moved
is looked at: its status is written at most once a survey, and not when nothing changed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime

import aiohttp

from torpor.errors import ApiUnavailable
from torpor.platform.kubernetes import KubernetesApi, Recorder, Reflector, Selection, WorkQueue
from torpor.platform.kubernetes.resources import WORKFLOWS
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.settings import ControllerSettings
from torpor.telemetry import logs
from torpor.workflows.machines import EngineAway, Machines
from torpor.workflows.reconcile import WorkflowReconciler

LOG = logging.getLogger(__name__)
SURVEY_SECONDS = 5.0
RESYNC_SECONDS = 600.0
RECONCILE_SECONDS = 90.0
"""Longer than the engine may take to stop the executions of a machine that is deleted."""
WORKERS = 4


class WorkflowLeader:
    """Works Workflows off during one leadership. The session is the caller's."""

    def __init__(
        self,
        api: KubernetesApi,
        recorder: Recorder,
        session: aiohttp.ClientSession,
        settings: ControllerSettings,
        key: bytes,
    ) -> None:
        url = settings.engine_url
        self._namespace = settings.watch_namespace
        self._machines = Machines(session, url, internal_token(key)) if url else None
        self._reconciler = WorkflowReconciler(api, self._machines, recorder, wall=_now)
        self._queue = WorkQueue[FunctionKey]()
        # Beside Kopf's: after a gap it tells what vanished meanwhile. Only the names are kept.
        self._names = Reflector[str](
            api,
            Selection(WORKFLOWS, settings.watch_namespace, metadata_only=True),
            lambda obj: str(obj["metadata"]["resourceVersion"]),
            lambda key, _old, _new: self.changed(FunctionKey(key.namespace, key.name)),
        )
        self._away = False

    async def run(self) -> None:
        """Lead until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._names.run(), name="reflect workflows")
            group.create_task(self._resync(), name="resync workflows")
            group.create_task(self._queue.run(WORKERS, self._work), name="workflow workers")
            if self._machines is not None:
                group.create_task(self._survey(self._machines), name="survey machines")

    def changed(self, key: FunctionKey) -> None:
        """Have the Workflow looked at."""
        self._queue.add(key)

    def knows(self, key: FunctionKey) -> bool:
        """Return whether there is a Workflow of that name."""
        return self._names.get(key.namespace, key.name) is not None

    def config_map_changed(self, namespace: str, name: str) -> None:
        """Have the Workflows looked at whose definition is in it."""
        for key in self._reconciler.users_of(namespace, name):
            self._queue.add(key)

    async def _work(self, key: FunctionKey) -> float | None:
        try:
            with logs.bound(workflow=str(key)):
                async with asyncio.timeout(RECONCILE_SECONDS):
                    return await self._reconciler.reconcile(key)
        except TimeoutError:
            text = f"reconciling {key} took longer than {RECONCILE_SECONDS:g} s"
            raise ApiUnavailable(0, "Timeout", text) from None

    async def _resync(self) -> None:
        """Look at every Workflow, now and then."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            for key in self._names.items():
                self._queue.add(FunctionKey(key.namespace, key.name))

    async def _survey(self, machines: Machines) -> None:
        # A machine is taken for an orphan only when it is known which Workflows there are.
        await self._names.synced.wait()
        while True:
            try:
                found = await machines.survey()
            except EngineAway as error:
                self._tell_away(error)
            else:
                self._away = False
                for key in self._reconciler.surveyed(found):
                    if self._namespace in ("", key.namespace):
                        self._queue.add(key)
            await asyncio.sleep(SURVEY_SECONDS)

    def _tell_away(self, error: EngineAway) -> None:
        """Log it once; the engine's own health and metrics say the rest."""
        if not self._away:
            LOG.warning("no engine tells of its machines: %s", error)
        self._away = True


def _now() -> datetime:
    return datetime.now(UTC)
