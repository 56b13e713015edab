"""The leader's share for Triggers: a queue of keys, what the events role tells, and the lag.

Standings are asked for all Triggers at once, every few seconds, and only a Trigger of which there
is something new to tell is looked at. The lag is asked once a second, for the autoscaler: also
where there is no Trigger, for Functions are called asynchronously.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import aiohttp

from torpor.controller.called import CalledFunctions
from torpor.controller.workflows import WorkflowLeader
from torpor.errors import ApiUnavailable
from torpor.platform.base import Instance
from torpor.platform.kubernetes import (
    KubernetesApi,
    ObjectKey,
    Recorder,
    Reflector,
    Selection,
    WorkQueue,
)
from torpor.platform.kubernetes.resources import TRIGGERS
from torpor.platform.kubernetes.watched import Watched
from torpor.resources.http_route import Claim, Claims, claim_of
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.resources.trigger import TargetKind, Trigger
from torpor.settings import ControllerSettings
from torpor.telemetry import logs
from torpor.triggers.implied import is_implied
from torpor.triggers.reconcile import TriggerReconciler
from torpor.triggers.standings import EventsAway, Standings, TargetFacts
from torpor.triggers.wanted import facts_of, instances_for, read

LOG = logging.getLogger(__name__)
SURVEY_SECONDS = 5.0
LAG_SECONDS = 1.0
LAG_STALE_SECONDS = 30.0
"""How long a lag is believed when nobody tells of it any more."""
RESYNC_SECONDS = 600.0
RECONCILE_SECONDS = 60.0
WORKERS = 4

_Target = tuple[TargetKind, FunctionKey]
_NO_LAGS: Mapping[FunctionKey, Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a Trigger: `trigger` is None if it cannot be in force."""

    trigger: Trigger | None
    claim: Claim | None

    @property
    def target(self) -> _Target | None:
        """The Function or Workflow that its events are for."""
        if self.trigger is None:
            return None
        target = self.trigger.target
        if target.kind not in (TargetKind.FUNCTION, TargetKind.WORKFLOW):
            return None
        return target.kind, FunctionKey(self.trigger.key.namespace, target.name)


class TriggerLeader:
    """Works Triggers off during one leadership. The session is the caller's."""

    def __init__(
        self,
        api: KubernetesApi,
        recorder: Recorder,
        session: aiohttp.ClientSession,
        settings: ControllerSettings,
        key: bytes,
        *,
        functions: Watched,
        workflows: WorkflowLeader,
    ) -> None:
        url = settings.events_url
        self._namespace = settings.watch_namespace
        self._functions = functions
        self._workflows = workflows
        self._standings = Standings(session, url, internal_token(key)) if url else None
        self._reconciler = TriggerReconciler(api, self._standings, self, recorder, wall=_now)
        self._queue = WorkQueue[FunctionKey]()
        self._claims = Claims()
        self._users: defaultdict[_Target, set[FunctionKey]] = defaultdict(set)
        self._facts: dict[FunctionKey, TargetFacts] = {}
        self._lags = _NO_LAGS
        self._lags_at = 0.0
        self._away = False
        # Beside Kopf's: after a gap it tells what vanished meanwhile.
        self._triggers = Reflector[_Kept](
            api, Selection(TRIGGERS, settings.watch_namespace), _keep, self._trigger_changed
        )

    async def run(self) -> None:
        """Lead until cancelled."""
        with self._functions.telling(self):
            async with asyncio.TaskGroup() as group:
                group.create_task(self._triggers.run(), name="reflect triggers")
                group.create_task(self._resync(), name="resync triggers")
                group.create_task(self._queue.run(WORKERS, self._work), name="trigger workers")
                if self._standings is not None:
                    group.create_task(self._survey(self._standings), name="survey triggers")
                    group.create_task(self._follow_lag(self._standings), name="follow the lag")
                    called = CalledFunctions(self._standings, self._namespace, self._exists)
                    group.create_task(called.run(), name="look for deleted functions")

    def changed(self, key: FunctionKey) -> None:
        """Have the Trigger looked at."""
        self._queue.add(key)

    def workflow_changed(self, key: FunctionKey) -> None:
        """Have the Triggers looked at that start executions of it."""
        self._add_users((TargetKind.WORKFLOW, key))

    def lags(self) -> Mapping[FunctionKey, Mapping[str, float]]:
        """Return, by Function and Trigger, how many instances the lag is work for."""
        return self._lags

    def _exists(self, key: FunctionKey) -> bool:
        return self._functions.functions.get(key.namespace, key.name) is not None

    # For the reconciler

    def facts(self, trigger: Trigger) -> TargetFacts | None:
        """Return what is known of its target; None for a bus or a queue."""
        key = FunctionKey(trigger.key.namespace, trigger.target.name)
        if trigger.target.kind is TargetKind.FUNCTION:
            return facts_of(self._functions.function(key))
        if trigger.target.kind is TargetKind.WORKFLOW:
            return TargetFacts(exists=self._workflows.knows(key))
        return None

    def before(self, key: FunctionKey) -> FunctionKey | None:
        """Return an older Trigger that has what this one may only have alone."""
        return self._claims.before(key)

    # What the watches tell

    def function_changed(self, key: FunctionKey) -> None:
        """Have the Triggers of a Function looked at, if what they need of it is something else."""
        target = (TargetKind.FUNCTION, key)
        if target not in self._users:
            return
        facts = facts_of(self._functions.function(key))
        if self._facts.get(key) != facts:
            self._facts[key] = facts
            self._add_users(target)

    def instance_changed(self, old: Instance | None, new: Instance | None) -> None:
        """Nothing to do: it is the autoscaler that looks at pods."""
        del old, new

    def _trigger_changed(self, key: ObjectKey, old: _Kept | None, new: _Kept | None) -> None:
        name = FunctionKey(key.namespace, key.name)
        if old and old.target:
            self._forget_user(old.target, name)
        if new and new.target:
            self._users[new.target].add(name)
        for other in self._claims.put(name, new.claim if new else None):
            self._queue.add(other)
        self._queue.add(name)

    def _forget_user(self, target: _Target, name: FunctionKey) -> None:
        users = self._users[target]
        users.discard(name)
        if not users:
            del self._users[target]
            self._facts.pop(target[1], None)

    def _add_users(self, target: _Target) -> None:
        for name in self._users.get(target, ()):
            self._queue.add(name)

    # Working

    async def _work(self, key: FunctionKey) -> float | None:
        # What a Trigger may have depends on which others there are.
        await self._triggers.synced.wait()
        try:
            with logs.bound(trigger=str(key)):
                async with asyncio.timeout(RECONCILE_SECONDS):
                    return await self._reconciler.reconcile(key)
        except TimeoutError:
            text = f"reconciling {key} took longer than {RECONCILE_SECONDS:g} s"
            raise ApiUnavailable(0, "Timeout", text) from None

    async def _resync(self) -> None:
        """Look at every Trigger, now and then."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            for key in self._triggers.items():
                self._queue.add(FunctionKey(key.namespace, key.name))

    async def _survey(self, standings: Standings) -> None:
        # A Trigger is taken for an orphan only when it is known which there are.
        await self._triggers.synced.wait()
        while True:
            try:
                found = await standings.survey()
            except EventsAway as error:
                self._tell_away(error)
            else:
                self._away = False
                for key in self._reconciler.surveyed(found):
                    if self._namespace in ("", key.namespace):
                        self._queue.add(key)
            await asyncio.sleep(SURVEY_SECONDS)

    async def _follow_lag(self, standings: Standings) -> None:
        while True:
            began = time.monotonic()
            await self._ask_lag(standings)
            await asyncio.sleep(max(0.0, began + LAG_SECONDS - time.monotonic()))

    async def _ask_lag(self, standings: Standings) -> None:
        try:
            found = await standings.lags()
        except EventsAway as error:
            self._tell_away(error)
            if time.monotonic() - self._lags_at > LAG_STALE_SECONDS:
                self._lags = _NO_LAGS
            return
        self._lags_at = time.monotonic()
        self._lags = {
            key: work for key, lags in found.items() if (work := self._work_in(key, lags))
        }

    def _work_in(self, function: FunctionKey, lags: Mapping[str, float]) -> dict[str, float]:
        facts = facts_of(self._functions.function(function))
        found: dict[str, float] = {}
        for name, lag in lags.items():
            kept = self._triggers.get(function.namespace, name)
            if facts.exists and lag > 0 and is_implied(name):
                found[name] = lag / max(1, facts.concurrency_target)
            elif facts.exists and lag > 0 and kept and kept.trigger and not kept.trigger.suspended:
                found[name] = instances_for(lag, kept.trigger, facts)
        return found

    def _tell_away(self, error: EventsAway) -> None:
        """Log it once; the role's own health and metrics say the rest."""
        if not self._away:
            LOG.warning("no events role tells of its Triggers: %s", error)
        self._away = True


def _keep(obj: dict[str, Any]) -> _Kept:
    found = read(obj)
    return _Kept(found if isinstance(found, Trigger) else None, claim_of(obj))


def _now() -> datetime:
    return datetime.now(UTC)
