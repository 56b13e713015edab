"""The leader's loop: once a second it looks at every awake function and gives it its replicas.

A pass pulls the load, decides for each function, and starts what must be done; it never waits for
the API.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from torpor.errors import ApiError, TorporError
from torpor.functions import usage
from torpor.functions.actions import Actions
from torpor.functions.cold_starts import ColdStartLog, ColdStarts
from torpor.functions.fleet import Fleet
from torpor.functions.gateways import Gateways
from torpor.functions.tracked import Tracked, View
from torpor.platform.base import Change, FunctionChanged, InstancesChanged, Platform
from torpor.resources.load import GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.scaling.decide import decide
from torpor.scaling.meter import Meter, Reading, Sample
from torpor.scaling.values import Decision, Direction, Sight
from torpor.telemetry import metrics

LOG = logging.getLogger(__name__)
PASS_SECONDS = 1.0
EARLY_PASS_SECONDS = 0.25
"""The soonest pass after the one before, when a function woke meanwhile."""
PULL_SECONDS = 2.0
WATCH_RETRY_SECONDS = 1.0

Clock = Callable[[], float]
Lags = Callable[[], Mapping[FunctionKey, Mapping[str, float]]]
"""Returns, by function and trigger, the backlog divided by its target; only what is not zero."""
_NO_LAGS: Mapping[FunctionKey, Mapping[str, float]] = MappingProxyType({})
_NO_LAG: Mapping[str, float] = MappingProxyType({})
_ABSENT = Sample()


class Autoscaler:
    """Scales while `run` runs; asked from the same event loop what it did and saw."""

    def __init__(
        self,
        platform: Platform,
        gateways: Gateways,
        *,
        changed: Callable[[FunctionKey], None] = lambda _: None,
        lags: Lags = lambda: _NO_LAGS,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        """`changed` is called when a function's `view` or `cold_starts` should be shown anew.

        `clock` is monotonic and the event loop's; `wall` is seconds since 1970.
        """
        self._platform = platform
        self._gateways = gateways
        self._changed = changed
        self._lags = lags
        self._clock = clock
        self._wall = wall
        self._begin()

    async def run(self) -> None:
        """Scale until cancelled; what was known from an earlier run is forgotten."""
        self._begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="autoscaler watch")
            await self._synced.wait()
            # The first pass has the whole of its windows before it: nothing shrinks until then.
            self._watched_since = self._clock()
            self._meter = Meter(self._clock())
            while True:
                began = self._clock()
                await self._pass(group)
                metrics.AUTOSCALER_SECONDS.observe(self._clock() - began)
                await self._until_next(began)

    def view(self, key: FunctionKey) -> View | None:
        """Return what was last decided and seen; None for a function not looked at so far."""
        tracked = self._fleet.get(key)
        return tracked.view if tracked else None

    def cold_starts(self, key: FunctionKey) -> ColdStarts | None:
        """Return the function's cold starts; None when none was reported."""
        return self._cold_starts.of(key)

    def _begin(self) -> None:
        self._fleet = Fleet()
        self._cold_starts = ColdStartLog()
        self._meter = Meter(self._clock())
        self._reading = Reading({}, Sight.BLIND)
        self._watched_since = self._clock()
        self._actions = Actions(self._platform, self._gateways, self, self._clock, self._wall)
        self._lag: Mapping[FunctionKey, Mapping[str, float]] = _NO_LAGS
        self._poked: asyncio.Event = asyncio.Event()
        self._synced: asyncio.Event = asyncio.Event()

    # What the platform tells

    async def _watch(self) -> None:
        while True:
            try:
                async for change in self._platform.changes():
                    self._take(change)
            except ApiError as error:
                LOG.warning("the autoscaler's watch ended: %s", error)
            await asyncio.sleep(WATCH_RETRY_SECONDS)

    def _take(self, change: Change) -> None:
        if isinstance(change, InstancesChanged) and (tracked := self._fleet.get(change.key)):
            usage.count(tracked, self._clock())
        woke = self._fleet.take(change)
        if isinstance(change, FunctionChanged) and change.function is None:
            self._forget(change.key)
        if self._fleet.synced:
            self._synced.set()
            if woke:
                self._poked.set()

    def _forget(self, key: FunctionKey) -> None:
        self._cold_starts.drop(key)
        usage.forget(key)
        try:
            metrics.DESIRED_REPLICAS.remove(key.namespace, key.name)
        except KeyError:
            return  # it was never scaled

    # One pass

    async def _until_next(self, began: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, began + PASS_SECONDS - self._clock())):
                await self._poked.wait()
        except TimeoutError:
            return
        await asyncio.sleep(max(0.0, began + EARLY_PASS_SECONDS - self._clock()))

    async def _pass(self, group: asyncio.TaskGroup) -> None:
        self._poked.clear()
        answers, silent = await self._pull()
        now, wall = self._clock(), self._wall()
        metrics.GATEWAYS_SILENT.set(silent)
        self._reading = self._meter.read(answers, silent, now)
        self._lag = self._lags()
        due = [tracked for tracked in self._visited(wall) if self._consider(tracked, now, wall)]
        self._actions.start(due, group)
        for key in self._cold_starts.take(answers):
            if self._fleet.get(key):
                self._changed(key)
            else:
                self._cold_starts.drop(key)

    async def _pull(self) -> tuple[Sequence[GatewayLoad], int]:
        try:
            async with asyncio.timeout(PULL_SECONDS):
                return await self._gateways.loads()
        except (TorporError, TimeoutError, OSError) as error:
            LOG.warning("the load could not be pulled: %s", str(error) or type(error).__name__)
            return (), 1

    def _visited(self, wall: float) -> list[Tracked]:
        keys = self._fleet.visited(wall)
        keys.update(key for key, sample in self._reading.samples.items() if sample.present)
        keys.update(self._lag)
        return [tracked for key in keys if (tracked := self._fleet.get(key))]

    def _consider(self, tracked: Tracked, now: float, wall: float) -> bool:
        """Note what was seen of a function; return whether something must be done about it."""
        self._fleet.woke(tracked)
        tracked.add(self._reading.samples.get(tracked.key, _ABSENT), now)
        usage.count(tracked, now)
        decision = self.decide(tracked)
        self._show(tracked, decision, wall)
        if self._actions.busy(tracked.key) or now < tracked.retry_at:
            return False
        if decision.direction is not Direction.STAY or tracked.must_read(now):
            return True
        if tracked.replicas == 0 and not tracked.live and not tracked.sample.present:
            self._fleet.rest(tracked)
        return False

    def knows(self, tracked: Tracked) -> bool:
        """Return whether this is still the function of that name."""
        return self._fleet.get(tracked.key) is tracked

    def decide(self, tracked: Tracked) -> Decision:
        """Return how many replicas the function should have, as of now and the last pass."""
        assert tracked.scaling is not None
        now = self._clock()
        seen = tracked.observe(
            now=now,
            wall=self._wall(),
            watched_since=self._watched_since,
            sight=self._reading.sight,
            lag=self._lag.get(tracked.key, _NO_LAG),
        )
        return decide(tracked.scaling, seen, now)

    def _show(self, tracked: Tracked, latest: Decision, wall: float) -> None:
        before = tracked.view
        decision, active = (before.decision, before.last_active_at) if before else (latest, None)
        view = View(
            decision=decision,
            latest=latest,
            replicas=tracked.replicas,
            ready=tracked.ready,
            starting=tracked.starting,
            present=tracked.sample.present,
            last_active_at=wall if tracked.sample.present else active,
            problem=tracked.problem or tracked.spec_problem,
            changes=tracked.changes,
            late=tracked.is_late(self._clock()),
        )
        self.publish(tracked, view)

    def publish(self, tracked: Tracked, view: View) -> None:
        """Show this from now on, and say so if a status would tell anything else."""
        before, tracked.view = tracked.view, view
        if before is None or before.told != view.told:
            self._changed(tracked.key)
