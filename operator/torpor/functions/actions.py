"""Carries out what the autoscaler decided, beside its passes: up, down, or to zero.

Each function has at most one action under way, all together at most `ACTIONS_AT_ONCE`; what finds
no place is decided anew in the next pass, those that waited longest first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torpor.errors import ApiConflict, ApiNotFound, TorporError
from torpor.functions.decisions import Rescaled
from torpor.functions.gateways import Gateways
from torpor.functions.parking import to_zero
from torpor.functions.tracked import Tracked, View
from torpor.platform.base import Platform, Scale
from torpor.resources import names
from torpor.resources.names import FunctionKey
from torpor.scaling.values import Decision, Direction
from torpor.telemetry import metrics

LOG = logging.getLogger(__name__)
ACTION_SECONDS = 10.0
ACTIONS_AT_ONCE = 16


class Judge(Protocol):
    """Whoever decides and shows; the Autoscaler is one."""

    def knows(self, tracked: Tracked) -> bool:
        """Return whether this is still the function of that name."""
        ...

    def decide(self, tracked: Tracked) -> Decision:
        """Return how many replicas it should have, as of now."""
        ...

    def publish(self, tracked: Tracked, view: View) -> None:
        """Show what was done."""
        ...


class Actions:
    """The actions under way. For one event loop."""

    def __init__(
        self,
        platform: Platform,
        gateways: Gateways,
        judge: Judge,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._platform = platform
        self._gateways = gateways
        self._judge = judge
        self._clock = clock
        self._wall = wall
        self._busy: set[FunctionKey] = set()

    def busy(self, key: FunctionKey) -> bool:
        """Return whether something is being done about the function."""
        return key in self._busy

    def start(self, due: Sequence[Tracked], group: asyncio.TaskGroup) -> None:
        """Begin with as many of those that are due as there are places."""
        waiting = sorted(due, key=lambda tracked: tracked.acted_at)
        for tracked in waiting[: ACTIONS_AT_ONCE - len(self._busy)]:
            self._busy.add(tracked.key)
            tracked.acted_at = self._clock()
            group.create_task(self._act(tracked), name=f"scale {tracked.key}")

    async def _act(self, tracked: Tracked) -> None:
        try:
            async with asyncio.timeout(ACTION_SECONDS):
                await self._adjust(tracked)
        except ApiConflict:
            tracked.read_again()
        except ApiNotFound:
            tracked.failed("its workload does not exist yet", self._clock())
        except (TorporError, TimeoutError) as error:
            problem = str(error) or f"no answer for {ACTION_SECONDS:.0f} s"
            tracked.failed(problem, self._clock())
            LOG.warning("%s could not be scaled: %s", tracked.key, problem)
        except Exception as error:  # one function's defect must not stop the others
            tracked.failed(f"{type(error).__name__}: {error}", self._clock())
            LOG.exception("%s could not be scaled", tracked.key)
        finally:
            self._busy.discard(tracked.key)

    async def _adjust(self, tracked: Tracked) -> None:
        """Read the scale, decide on what it truly is, and follow the decision."""
        key = tracked.key
        scale = await self._platform.scale(key)
        tracked.changed_by_others(scale.replicas, self._wall())
        tracked.asked_for(scale.replicas, self._clock())
        if not self._judge.knows(tracked) or tracked.history is None:
            return  # deleted, or begun anew, while the call ran
        decision = self._judge.decide(tracked)
        match decision.direction:
            case Direction.STAY:
                tracked.succeeded()
            case Direction.UP:
                await self._set(tracked, decision, version=None)
            case Direction.DOWN:
                await self._platform.prefer_removal(key, _loads(tracked))
                await self._set(tracked, decision, version=scale.version)
            case Direction.ZERO:
                await self._to_zero(tracked, decision, scale)

    async def _set(self, tracked: Tracked, decision: Decision, *, version: str | None) -> None:
        await self._platform.set_scale(
            tracked.key, decision.replicas, manager=names.MANAGER_AUTOSCALER, version=version
        )
        self._done(tracked, decision)

    async def _to_zero(self, tracked: Tracked, decision: Decision, scale: Scale) -> None:
        parked = await to_zero(tracked.key, scale, self._platform, self._gateways, self._clock)
        if not parked.aborted:
            self._done(tracked, decision)
            return
        metrics.DECISIONS.labels("aborted").inc()
        LOG.info("%s serves on: %s", tracked.key, parked.aborted)
        tracked.read_again()
        if not parked.present:
            tracked.failed(parked.aborted, self._clock())
        elif tracked.history:
            tracked.history.quiet_since = self._clock()

    def _done(self, tracked: Tracked, decision: Decision) -> None:
        key, before = tracked.key, tracked.replicas
        tracked.asked_for(decision.replicas, self._clock())
        tracked.succeeded()
        if not self._judge.knows(tracked):
            return  # deleted while the call ran
        tracked.remember(Rescaled(self._wall(), before, decision.replicas, decision.reason))
        metrics.DECISIONS.labels(decision.direction.value).inc()
        metrics.DESIRED_REPLICAS.labels(key.namespace, key.name).set(decision.replicas)
        LOG.info("%s: %d -> %d replicas: %s", key, before, decision.replicas, decision.reason)
        active = tracked.view.last_active_at if tracked.view else None
        self._judge.publish(
            tracked,
            View(
                decision=decision,
                latest=decision,
                replicas=tracked.replicas,
                ready=tracked.ready,
                starting=tracked.starting,
                present=tracked.sample.present,
                last_active_at=active,
                changes=tracked.changes,
            ),
        )


def _loads(tracked: Tracked) -> Mapping[str, int]:
    """Return what each instance has in flight; none for one that no gateway named."""
    in_flight = tracked.sample.instances
    return {item.name: in_flight.get(item.name, 0) for item in tracked.instances}
