"""Brings one Trigger into the events role, and what the role says of it into its status.

Level-triggered: it looks at the object and at what the role last told, never at what happened.
Nothing to change: no call that writes. There is no finalizer: a Trigger that is gone is one that
the role still has in force.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from torpor.errors import ApiNotFound
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import TRIGGERS, Resource
from torpor.platform.kubernetes.statuses import News, Notices, Statuses
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.standings import EventsAway, Standing, TargetFacts, TriggerRefused, Wanted
from torpor.triggers.status import (
    EVENTS_AWAY,
    EVENTS_DROPPED,
    EVENTS_NOT_INSTALLED,
    INVALID_TRIGGER,
    QUEUE_TAKEN,
    ROUTE_TAKEN,
    SUSPENDED,
    Problem,
    Seen,
    problem_of,
    status,
    uncounted,
    without_counts,
)
from torpor.triggers.wanted import (
    deleted,
    essence,
    is_direct,
    missing_target,
    read,
    suspended,
    suspending,
)

LOG = logging.getLogger(__name__)
AGAIN_SECONDS = 5.0
"""When to try again what only time mends: an events role that is away."""
COUNTS_SECONDS = 30.0
"""How often a status is written for its counts alone."""

Json = dict[str, Any]


class Api(Protocol):
    """What reconciling needs of the Kubernetes API; KubernetesApi has it."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object; ApiNotFound if there is none."""
        ...

    async def apply_status(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply of the status."""
        ...


class Events(Protocol):
    """The events role as the controller sees it; Standings is one, with its errors."""

    async def put(self, key: FunctionKey, wanted: Wanted) -> Standing:
        """Have the Trigger be as wanted."""
        ...

    async def delete(self, key: FunctionKey) -> str:
        """Have the Trigger no longer in force; return what was lost by it, empty for nothing."""
        ...


class Surroundings(Protocol):
    """What else is in the cluster that decides about a Trigger."""

    def facts(self, trigger: Trigger) -> TargetFacts | None:
        """Return what is known of its target; None for a bus or a queue."""
        ...

    def before(self, key: FunctionKey) -> FunctionKey | None:
        """Return an older Trigger that has what this one may only have alone."""
        ...


class TriggerReconciler:
    """Reconciles Triggers one by one; keeps what the role told, so as to ask it once.

    `events` is None where none is installed.
    """

    def __init__(
        self,
        api: Api,
        events: Events | None,
        around: Surroundings,
        notices: Notices,
        *,
        wall: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._events = events
        self._around = around
        self._notices = notices
        self._statuses = Statuses(api, notices, TRIGGERS, News(wished=(SUSPENDED,)))
        self._wall = wall
        self._standing: dict[FunctionKey, Standing] = {}
        self._told: dict[FunctionKey, tuple[Standing, datetime]] = {}
        self._in_force: dict[FunctionKey, Wanted] = {}
        self._known: set[FunctionKey] = set()

    def surveyed(self, found: Iterable[Standing]) -> Sequence[FunctionKey]:
        """Take what the role told of all its Triggers; return the keys which that concerns.

        Those are the ones about which there is something new to tell, the ones that are not in
        force as they were put (a broker that was restored), and those whose object is not known.
        """
        now = {standing.key: standing for standing in found}
        lost = [key for key in self._in_force if not self._is_in_force(key, now.get(key))]
        # What was put stays known: the role may have told before it took it, and its end be next.
        self._standing = now
        return [*lost, *(key for key in now if key not in lost and self._concerns(key))]

    async def reconcile(self, key: FunctionKey) -> float | None:
        """Bring one Trigger up to date; return after how many seconds to look again, if at all.

        ApiError when the API refused or is away, EventsAway when it could not be deleted: try again
        later.
        """
        try:
            obj = await self._api.get(TRIGGERS, key.namespace, key.name)
        except ApiNotFound:
            await self._gone(key)
            return None
        self._known.add(key)
        if obj["metadata"].get("deletionTimestamp"):
            return None  # somebody's finalizer keeps it; when it goes there is an event
        seen = await self._bring(key, obj)
        await self._tell(key, obj, seen)
        waits = seen.problem is not None and seen.problem.reason == EVENTS_AWAY
        return AGAIN_SECONDS if waits else None

    # Into the events role

    async def _bring(self, key: FunctionKey, obj: Json) -> Seen:
        trigger = read(obj)
        if isinstance(trigger, Problem):
            return Seen(None, self._standing.get(key), trigger)
        facts = self._around.facts(trigger)
        if problem := self._taken(trigger):
            await self._hold_back(key, Wanted(suspending(essence(obj)), facts), problem)
            return Seen(trigger, self._standing.get(key), problem)
        missing = missing_target(trigger, facts)
        if is_direct(trigger) and not self._is_held(key):
            return Seen(trigger, None, missing or suspended(trigger))
        problem = await self._have_in_force(key, Wanted(essence(obj), facts))
        standing = self._standing.get(key)
        problem = problem or missing or suspended(trigger)
        if problem is None and standing is not None:
            problem = problem_of(standing)
        return Seen(trigger, standing, problem)

    def _taken(self, trigger: Trigger) -> Problem | None:
        other = self._around.before(trigger.key)
        if other is None:
            return None
        if trigger.source.kind is SourceKind.QUEUE:
            name = trigger.source.settings.get("name")
            text = f"{other} takes the messages of the queue {name} already; use a bus for several"
            return Problem(QUEUE_TAKEN, text, final=True)
        text = f"{other} is older and has this address; choose another host, path or methods"
        return Problem(ROUTE_TAKEN, text, final=True)

    async def _have_in_force(self, key: FunctionKey, wanted: Wanted) -> Problem | None:
        if self._events is None:
            text = "no events role is installed: install the chart with events.enabled=true"
            return Problem(EVENTS_NOT_INSTALLED, text, final=True)
        told = self._standing.get(key)
        if self._in_force.get(key) == wanted and self._is_in_force(key, told):
            return None
        try:
            self._standing[key] = await self._events.put(key, wanted)
        except TriggerRefused as error:
            return Problem(INVALID_TRIGGER, str(error), final=True)
        except EventsAway as error:
            LOG.warning("no events role took %s: %s", key, error)
            text = f"no events role took the Trigger; it is tried again every {AGAIN_SECONDS:g} s"
            return Problem(EVENTS_AWAY, text, final=False)
        self._in_force[key] = wanted
        return None

    def _is_held(self, key: FunctionKey) -> bool:
        """Whether the role has it, and maybe events of it: also of one that is direct by now."""
        return key in self._in_force or key in self._standing

    async def _hold_back(self, key: FunctionKey, wanted: Wanted, problem: Problem) -> None:
        """Have it deliver nothing, if the role has it; what its inbox holds stays."""
        if self._is_held(key) and problem.reason == ROUTE_TAKEN:
            await self._have_in_force(key, wanted)
        elif self._is_held(key) and self._events is not None:
            await self._events.delete(key)  # the queue keeps its messages, for the other to take
            self._in_force.pop(key, None)
            self._standing.pop(key, None)

    async def _gone(self, key: FunctionKey) -> None:
        lost = "" if self._events is None else await self._events.delete(key)
        self._known.discard(key)
        self._told.pop(key, None)
        wanted = self._in_force.pop(key, None)
        standing = self._standing.pop(key, None)
        regarding = deleted(key, wanted, standing)
        if lost and regarding is not None:
            kind = EventType.WARNING
            await self._notices.record(regarding, kind, EVENTS_DROPPED, lost, action="Delete")

    def _is_in_force(self, key: FunctionKey, standing: Standing | None) -> bool:
        meta = self._in_force[key].object["metadata"]
        return standing is not None and (standing.uid, standing.generation) == (
            str(meta.get("uid", "")),
            int(meta.get("generation", 0)),
        )

    def _concerns(self, key: FunctionKey) -> bool:
        standing, told = self._standing[key], self._told.get(key)
        if key not in self._known or told is None:
            return True
        before, at = told
        if uncounted(before) != uncounted(standing):
            return True
        late = self._wall() - at >= timedelta(seconds=COUNTS_SECONDS)
        return late and _counts(before) != _counts(standing)

    # Status

    async def _tell(self, key: FunctionKey, obj: Json, seen: Seen) -> None:
        """Write the status if it says anything new; its counts alone are not, for a while."""
        before, now = obj.get("status") or {}, self._wall()
        told = status(obj, seen, now)
        if told == before:
            self._note(key, seen.standing, now)
            return
        if without_counts(told) == without_counts(before) and self._counted_lately(key, now):
            return
        if await self._statuses.write(obj, told) is None:
            return  # deleted meanwhile; there is an event
        self._note(key, seen.standing, now)
        await self._statuses.announce(obj, told)

    def _note(self, key: FunctionKey, standing: Standing | None, now: datetime) -> None:
        if standing is None:
            self._told.pop(key, None)
        else:
            self._told[key] = (standing, now)

    def _counted_lately(self, key: FunctionKey, now: datetime) -> bool:
        told = self._told.get(key)
        return told is not None and now - told[1] < timedelta(seconds=COUNTS_SECONDS)


def _counts(standing: Standing) -> tuple[int, int]:
    return standing.lag + standing.waiting, standing.dead_letters
