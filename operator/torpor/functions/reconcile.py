"""Brings one Function's children and status to what they should be, from whatever is there.

Level-triggered: it looks at the state, never at what happened. Nothing to change: no call. All
that is written is server-side applied, so only what Torpor owns is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from torpor.errors import ApiConflict, InvalidResource, TorporError
from torpor.functions import desired as desired_children
from torpor.functions import drift
from torpor.functions.desired import Children, UnknownRuntime
from torpor.functions.drift import Ownership
from torpor.functions.echo import TRUST_SECONDS, Echo
from torpor.functions.status import (
    Observed,
    Problem,
    Seen,
    refusal,
    status,
)
from torpor.platform.base import Instance
from torpor.platform.kubernetes.recorder import EventType
from torpor.platform.kubernetes.resources import (
    DEPLOYMENTS,
    FUNCTIONS,
    NETWORK_POLICIES,
    SERVICES,
    Resource,
)
from torpor.resources.conditions import (
    CONFIG_MAP_MISSING,
    INVALID_SPEC,
    NOT_OWNED,
    READY,
    UNKNOWN_RUNTIME,
    Truth,
    find,
)
from torpor.resources.function import Function
from torpor.resources.names import (
    API_VERSION,
    MANAGER_AUTOSCALER,
    MANAGER_CONTROLLER,
    MANAGER_STATUS,
    FunctionKey,
)
from torpor.resources.tokens import announce_token
from torpor.settings import ControllerSettings

LEAVING_SECONDS = 1.0
"""When to look again at a child of an earlier Function that is still being deleted."""

FOREIGN_SECONDS = 60.0
"""When to try again after somebody else's object was in the way: it is not watched."""
_KINDS = (FUNCTIONS.kind, NETWORK_POLICIES.kind, SERVICES.kind, DEPLOYMENTS.kind)

Json = dict[str, Any]


class Api(Protocol):
    """The writes that reconciling needs; KubernetesApi has them."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Return the object; ApiNotFound if there is none."""
        ...

    async def apply(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply, taking conflicts over."""
        ...

    async def apply_yielding(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply; ApiConflict if a field is somebody else's."""
        ...

    async def apply_status(self, resource: Resource, body: Json, *, manager: str) -> Json:
        """Server-side apply of the status."""
        ...


class World(Protocol):
    """What is watched, as it was last seen."""

    def function(self, key: FunctionKey) -> Json | None:
        """Return the Function object."""
        ...

    def child(self, resource: Resource, key: FunctionKey) -> Json | None:
        """Return the child of that kind, if Torpor made it."""
        ...

    def instances(self, key: FunctionKey) -> Sequence[Instance]:
        """Return the function's pods."""
        ...

    def code_version(self, namespace: str, config_map: str) -> str | None:
        """Return a text that changes when the ConfigMap does; None if there is no such."""
        ...


class Notices(Protocol):
    """Where people are told what happened to an object; Recorder is one. Never fails."""

    async def record(
        self, obj: Mapping[str, Any], kind: EventType, reason: str, note: str, *, action: str
    ) -> None:
        """Report that `reason` happened to `obj`."""
        ...


class _Blocked(TorporError):
    """The children cannot be brought to what they should be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Leaving(TorporError):
    """A child of an earlier object is still on its way out."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What all Functions have in common: the settings and the secret key of tokens."""

    settings: ControllerSettings
    key: bytes


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
        self._api = api
        self._world = world
        self._notices = notices
        self._installation = installation
        self._seen = seen
        self._wall = wall
        self._echo = Echo(clock)
        self._accepted: dict[tuple[str, FunctionKey], tuple[str, str]] = {}

    async def reconcile(self, key: FunctionKey) -> float | None:
        """Bring one Function up to date; return after how many seconds to look again, if at all.

        ApiError when the API refused or is away: try again later.
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
        blocked, again = None, None
        try:
            await self._ensure_children(function)
        except _Blocked as error:
            blocked = error.problem
            again = FOREIGN_SECONDS if blocked.reason == NOT_OWNED else None
        except _Leaving:
            again = LEAVING_SECONDS
        observed = self._observe(function, blocked)
        seen = self._seen(function.key)
        domain = self._installation.settings.domain
        told = status(function, observed, seen, domain, self._wall())
        await self._tell(function.key, watched, obj, told)
        return again or self._look_again(function.key)

    # Children

    async def _ensure_children(self, function: Function) -> None:
        wanted = self._wanted(function)
        await self._ensure(NETWORK_POLICIES, function, wanted.network_policy)
        await self._ensure(SERVICES, function, wanted.service)
        await self._ensure_deployment(function, wanted.deployment)

    def _wanted(self, function: Function) -> Children:
        installation = self._installation
        version = self._code_version(function)
        token = announce_token(installation.key, function.uid)
        try:
            return desired_children.children(function, installation.settings, token, version)
        except UnknownRuntime as error:
            problem = Problem(UNKNOWN_RUNTIME, str(error), final=True)
            raise _Blocked(problem) from error

    def _code_version(self, function: Function) -> str | None:
        name = function.code.config_map if function.code else None
        if name is None:
            return None
        version = self._world.code_version(function.key.namespace, name)
        if version is None:
            text = f"spec.code.configMap: there is no ConfigMap {name!r} in this namespace"
            raise _Blocked(Problem(CONFIG_MAP_MISSING, text, final=True))
        return version

    async def _ensure_deployment(self, function: Function, wanted: Json) -> None:
        live = self._live(DEPLOYMENTS, function.key)
        if live is None:
            replicas = desired_children.first_replicas(function)
            newborn = desired_children.newborn(wanted, replicas)
            live = await self._create(DEPLOYMENTS, function.key, newborn)
        if desired_children.ANNOTATION_REPLICAS_OWNER not in live["metadata"]["annotations"]:
            self._check_ownership(DEPLOYMENTS, live, wanted)
            await self._claim_replicas(function.key, live)
        await self._ensure(DEPLOYMENTS, function, wanted)

    async def _claim_replicas(self, key: FunctionKey, live: Json) -> None:
        """Make the autoscaler an owner of the replicas, before an apply leaves them out."""
        replicas = int(live["spec"].get("replicas", 1))
        manager = MANAGER_AUTOSCALER
        try:
            claim = desired_children.replicas_claim(live, replicas)
            answer = await self._api.apply_yielding(DEPLOYMENTS, claim, manager=manager)
        except ApiConflict:  # whoever scaled meanwhile owns them
            claim = desired_children.replicas_claim(live, None)
            answer = await self._api.apply(DEPLOYMENTS, claim, manager=manager)
        self._wrote(DEPLOYMENTS, key, answer)

    async def _ensure(self, resource: Resource, function: Function, wanted: Json) -> None:
        key = function.key
        live = self._live(resource, key)
        if live is None:
            await self._create(resource, key, wanted)
            return
        self._check_ownership(resource, live, wanted)
        if not self._as_applied(resource, key, live, wanted):
            answer = await self._api.apply(resource, wanted, manager=MANAGER_CONTROLLER)
            self._wrote(resource, key, answer)

    async def _create(self, resource: Resource, key: FunctionKey, wanted: Json) -> Json:
        """Make the object, unless the name is somebody else's; return what is there then."""
        try:
            live = await self._api.apply_yielding(resource, wanted, manager=MANAGER_CONTROLLER)
        except ApiConflict:
            live = await self._api.get(resource, key.namespace, key.name)
            self._check_ownership(resource, live, wanted)
            bare = {**wanted, "spec": {**wanted["spec"]}}
            bare["spec"].pop("replicas", None)
            live = await self._api.apply(resource, bare, manager=MANAGER_CONTROLLER)
        self._wrote(resource, key, live)
        return live

    def _check_ownership(self, resource: Resource, live: Json, wanted: Json) -> None:
        owner = wanted["metadata"]["ownerReferences"][0]
        whose = drift.ownership(live, owner)
        if whose is Ownership.LEAVING:
            raise _Leaving(f"{resource.kind} {owner['name']} is still being deleted")
        if whose is Ownership.FOREIGN:
            text = (
                f"a {resource.kind} {owner['name']!r} that Torpor did not make is in the way; "
                "delete or rename it, or give the Function another name"
            )
            raise _Blocked(Problem(NOT_OWNED, text, final=True))

    def _as_applied(self, resource: Resource, key: FunctionKey, live: Json, wanted: Json) -> bool:
        """Return whether `wanted` was what was last applied and nobody changed the object since."""
        if drift.applied_hash(live) != drift.applied_hash(wanted):
            return False
        uid, mark = live["metadata"]["uid"], drift.fingerprint(live)
        known = self._accepted.get((resource.kind, key))
        if known and known[0] == uid:
            return known[1] == mark
        if not all(drift.covers(live[part], wanted[part]) for part in ("metadata", "spec")):
            return False
        self._accepted[resource.kind, key] = (uid, mark)
        return True

    def _live(self, resource: Resource, key: FunctionKey) -> Json | None:
        watched = self._world.child(resource, key)
        live = self._echo.latest((resource.kind, key), watched)
        return None if live is None else dict(live)

    def _wrote(self, resource: Resource, key: FunctionKey, answer: Json) -> None:
        self._echo.wrote((resource.kind, key), self._world.child(resource, key), answer)
        mark = drift.fingerprint(answer)
        self._accepted[resource.kind, key] = (answer["metadata"]["uid"], mark)

    # Status

    def _observe(self, function: Function, blocked: Problem | None) -> Observed:
        live = self._live(DEPLOYMENTS, function.key)
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
            trouble=_trouble(alive),
        )

    async def _tell(self, key: FunctionKey, watched: Json, obj: Json, told: Json) -> None:
        """Apply the status if it says anything new, and tell people when Ready turned."""
        before = obj.get("status") or {}
        if told == before:
            return
        body = {
            "apiVersion": API_VERSION,
            "kind": "Function",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": told,
        }
        answer = await self._api.apply_status(FUNCTIONS, body, manager=MANAGER_STATUS)
        self._echo.wrote((FUNCTIONS.kind, key), watched, answer)
        await self._notify(obj, before, told)

    async def _notify(self, obj: Json, before: Json, told: Json) -> None:
        was = find(before.get("conditions", ()), READY) or {}
        now = find(told["conditions"], READY)
        assert now is not None
        failing = now["status"] == Truth.FALSE.value
        same = was.get("status") == now["status"]
        if same and (not failing or was.get("reason") == now["reason"]):
            return
        regarding = {"apiVersion": API_VERSION, "kind": "Function", "metadata": obj["metadata"]}
        kind = EventType.WARNING if failing else EventType.NORMAL
        reason = now["reason"] if failing else READY
        await self._notices.record(regarding, kind, reason, now["message"], action="Reconcile")

    def _look_again(self, key: FunctionKey) -> float | None:
        pending = any(self._echo.pending((kind, key)) for kind in _KINDS)
        return TRUST_SECONDS if pending else None

    def _forget(self, key: FunctionKey) -> None:
        for kind in _KINDS:
            self._accepted.pop((kind, key), None)
            self._echo.forget((kind, key))


def _trouble(alive: Sequence[Instance]) -> Problem | None:
    """Return what keeps instances from starting, the most lasting first."""
    found = sorted(
        (item.trouble for item in alive if item.trouble and not item.ready),
        key=lambda trouble: not trouble.final,
    )
    if not found:
        return None
    return Problem(found[0].reason, found[0].message, found[0].final)
