"""Brings one Function's children and status to what they should be, from whatever is there.

Level-triggered: it looks at the state, never at what happened. Nothing to change: no call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from torpor.errors import ApiNamespaceEnding, InvalidResource
from torpor.functions.children import KINDS, Api, Blocked, ChildKeeper, Installation, Leaving, World
from torpor.functions.echo import TRUST_SECONDS, Echo
from torpor.functions.lateness import Unstarted, config_maps
from torpor.functions.refused import Refusals
from torpor.functions.status import Observed, Seen, refusal, run_status, status
from torpor.platform.base import Instance
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import DEPLOYMENTS, FUNCTIONS
from torpor.platform.kubernetes.statuses import News, Notices, Statuses
from torpor.resources.conditions import (
    FAILED_CREATE,
    INVALID_SPEC,
    INVALID_WINDOW,
    NOT_OWNED,
    REFUSED,
    STALLED,
    Problem,
    Truth,
    find,
)
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

LOG = logging.getLogger(__name__)
LEAVING_SECONDS = 1.0
"""When to look again at a child of an earlier Function that is still being deleted."""

FOREIGN_SECONDS = 60.0
"""When to try again after somebody else's object was in the way: it is not watched."""
ASYNC_UNAVAILABLE = "AsyncUnavailable"
_KINDS = (FUNCTIONS.kind, *KINDS)

Json = dict[str, Any]


class FunctionReconciler:
    """Reconciles Functions one by one; holds only what saves it from writing twice."""

    def __init__(
        self,
        api: Api,
        world: World,
        notices: Notices,
        installation: Installation,
        *,
        seen: Callable[[FunctionKey], Seen],
        clock: Callable[[], float],
        wall: Callable[[], datetime],
    ) -> None:
        """`clock` is monotonic, in seconds; `wall` returns the time of day, with its zone."""
        self._world = world
        # One that is new and well says so in its status: an Event each would be a write each.
        news = News(failing=("reason",), expected=(Truth.TRUE.value, Truth.UNKNOWN.value))
        self._statuses = Statuses(api, notices, FUNCTIONS, news)
        self._installation = installation
        self._seen = seen
        self._wall = wall
        self._echo = Echo(clock)
        self._refusals = Refusals(clock)
        self._children = ChildKeeper(api, world, installation, self._echo)

    async def reconcile(self, key: FunctionKey) -> float | None:
        """Bring one Function up to date; return after how many seconds to look again, if at all.

        ApiError when the API is away or refuses the status: try again later.
        """
        watched = self._world.function(key)
        if watched is None or watched["metadata"].get("deletionTimestamp"):
            self._forget(key)
            return None
        latest = self._echo.latest((FUNCTIONS.kind, key), watched) or watched
        obj = {**watched, "status": latest.get("status")}
        try:
            function = Function.parse(obj)
        except InvalidResource as error:
            told = refusal(obj, Problem(INVALID_SPEC, str(error), final=True), self._wall())
            await self._tell(key, watched, obj, told)
            return None
        return await self._bring(function, watched, obj)

    async def _bring(self, function: Function, watched: Json, obj: Json) -> float | None:
        try:
            blocked, again = await self._ensure(function)
        except ApiNamespaceEnding:
            # The Function goes as well, so there is nothing to tell and nothing to try again.
            LOG.debug(
                "its namespace is being deleted", extra={"fields": {"key": str(function.key)}}
            )
            return None
        await self._tell(function.key, watched, obj, self._status(function, blocked))
        return again or self._look_again(function.key)

    async def _ensure(self, function: Function) -> tuple[Problem | None, float | None]:
        """Bring its children up to date; return what is in the way, and when to try again."""
        refusal = self._refusals.standing(function)
        if refusal is not None:
            return refusal.problem, self._refusals.wait_seconds(refusal)
        try:
            await self._children.ensure(function)
        except Blocked as error:
            return self._obstacle(function, error.problem)
        except Leaving:
            return None, LEAVING_SECONDS
        self._refusals.forget(function.key)
        return None, None

    def _obstacle(self, function: Function, problem: Problem) -> tuple[Problem, float | None]:
        if problem.reason == REFUSED:
            return problem, self._refusals.wait_seconds(self._refusals.note(function, problem))
        self._refusals.forget(function.key)
        return problem, FOREIGN_SECONDS if problem.reason == NOT_OWNED else None

    # Status

    def _status(self, function: Function, blocked: Problem | None) -> Json:
        seen, domain = self._seen(function.key), self._installation.settings.domain
        if function.job is not None:
            return run_status(function, blocked, seen.runs, domain, self._wall())
        return status(function, self._observe(function, blocked), seen, domain, self._wall())

    def _observe(self, function: Function, blocked: Problem | None) -> Observed:
        live = self._children.live(DEPLOYMENTS, function.key)
        if live is None:
            return Observed(exists=False, blocked=blocked)
        alive = [item for item in self._world.instances(function.key) if not item.terminating]
        ready = sum(item.ready for item in alive)
        seen = live.get("status", {})
        return Observed(
            desired=int(live["spec"].get("replicas", 1)),
            ready=ready,
            starting=len(alive) - ready,
            rolling=seen.get("replicas", 0) > seen.get("updatedReplicas", 0),
            blocked=blocked,
            trouble=_trouble(alive) or _refused_pods(live),
            unstarted=self._unstarted(function, alive),
        )

    def _unstarted(self, function: Function, alive: Sequence[Instance]) -> Unstarted | None:
        if not alive or any("started" in item.seen or item.ready for item in alive):
            return None
        space, wanted = function.key.namespace, config_maps(function)
        return Unstarted(
            frozenset(name for name in wanted if self._world.code_version(space, name) is None)
        )

    async def _tell(self, key: FunctionKey, watched: Json, obj: Json, told: Json) -> None:
        """Write the status if it says anything new, and warn of what Ready does not say."""
        before = obj.get("status") or {}
        if told == before:
            return
        answer = await self._statuses.write(obj, told)
        if answer is None:
            return  # deleted meanwhile, which the watch is about to show
        self._echo.wrote((FUNCTIONS.kind, key), watched, answer)
        await self._statuses.announce(obj, told)
        await self._warn(obj, before, told)
        await self._warn_of_windows(obj, before, told)

    async def _warn(self, obj: Json, before: Json, told: Json) -> None:
        """Say once a generation that calls are refused, of which Ready says nothing."""
        if before.get("observedGeneration") == told["observedGeneration"]:
            return
        if self._installation.settings.events_url or not obj["spec"].get("async"):
            return
        note = (
            "it has spec.async, but no events role takes asynchronous calls, so each is refused: "
            "install the chart with events.enabled=true"
        )
        await self._statuses.event(obj, EventType.WARNING, ASYNC_UNAVAILABLE, note)

    async def _warn_of_windows(self, obj: Json, before: Json, told: Json) -> None:
        """Say that a provisioned window never opens, of which Ready says nothing."""
        was = find(before.get("conditions", ()), STALLED) or {}
        now = find(told["conditions"], STALLED)
        assert now is not None
        if now["reason"] != INVALID_WINDOW or was.get("message") == now["message"]:
            return
        await self._statuses.event(obj, EventType.WARNING, INVALID_WINDOW, now["message"])

    def _look_again(self, key: FunctionKey) -> float | None:
        pending = any(self._echo.pending((kind, key)) for kind in _KINDS)
        return TRUST_SECONDS if pending else None

    def _forget(self, key: FunctionKey) -> None:
        self._children.forget(key)
        self._refusals.forget(key)
        for kind in _KINDS:
            self._echo.forget((kind, key))


def _refused_pods(deployment: Json) -> Problem | None:
    """Return why pods cannot even be made, which no pod can tell; None if they can."""
    seen = deployment.get("status", {})
    if seen.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0):
        return None  # it may be of what was asked for before
    found = find(seen.get("conditions") or (), "ReplicaFailure")
    if found is None or (found["status"], found.get("reason")) != ("True", FAILED_CREATE):
        return None
    return Problem(FAILED_CREATE, str(found.get("message") or "no pod can be made"), final=True)


def _trouble(alive: Sequence[Instance]) -> Problem | None:
    """Return what keeps instances from starting, the most lasting first."""
    found = sorted(
        (item.trouble for item in alive if item.trouble and not item.ready),
        key=lambda trouble: not trouble.final,
    )
    if not found:
        return None
    return Problem(found[0].reason, found[0].message, found[0].final)
