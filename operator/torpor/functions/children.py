"""Brings one Function's children to what they should be, from whatever is there.

A child that is as it was applied costs no call. What is written is server-side applied, so only
what Torpor owns is touched; what somebody else made under the name is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torpor.errors import ApiConflict, ApiError, ApiNamespaceEnding, ApiNotFound, TorporError
from torpor.functions import desired as desired_children
from torpor.functions import drift
from torpor.functions.code import CodeState, state_in, state_of
from torpor.functions.desired import Children
from torpor.functions.drift import Ownership
from torpor.functions.echo import Echo
from torpor.functions.runtime_container import UnknownRuntime
from torpor.platform.base import Instance
from torpor.platform.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    SERVICES,
    Resource,
)
from torpor.resources.conditions import (
    CONFIG_MAP_MISSING,
    NOT_OWNED,
    REFUSED,
    UNKNOWN_RUNTIME,
    Problem,
)
from torpor.resources.function import Function
from torpor.resources.names import MANAGER_AUTOSCALER, MANAGER_CONTROLLER, FunctionKey
from torpor.resources.tokens import instance_tokens
from torpor.settings import ControllerSettings

KINDS = (NETWORK_POLICIES.kind, SERVICES.kind, DEPLOYMENTS.kind)
REFUSALS = frozenset({400, 403, 413, 422})
"""Answers to a write that come again until a person changes something."""
UNTYPED = "failed to create typed patch object"
"""How a 500 begins that is such a refusal, as of two volumes that are mounted at one path."""
MESSAGE_CHARACTERS = 1000

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


class Blocked(TorporError):
    """The children cannot be brought to what they should be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _no_config_map(name: str) -> Blocked:
    text = f"spec.code.configMap: there is no ConfigMap {name!r} in this namespace"
    return Blocked(Problem(CONFIG_MAP_MISSING, text, final=True))


class Leaving(TorporError):
    """A child of an earlier object is still on its way out."""


@dataclass(frozen=True, slots=True)
class Installation:
    """What all Functions have in common: the settings and the secret key of tokens."""

    settings: ControllerSettings
    key: bytes


class ChildKeeper:
    """Keeps the children of all Functions; holds only what saves it from writing twice."""

    def __init__(self, api: Api, world: World, installation: Installation, echo: Echo) -> None:
        self._api = api
        self._world = world
        self._installation = installation
        self._echo = echo
        self._accepted: dict[tuple[str, FunctionKey], tuple[str, str]] = {}

    async def ensure(self, function: Function) -> None:
        """Bring all children to what they should be; Blocked or Leaving if that cannot be."""
        if function.job is not None:
            await self._ensure_for_runs(function)
            return
        key, wanted = function.key, self._wanted(function, await self._code(function))
        newborn = desired_children.newborn(
            wanted.deployment, desired_children.first_replicas(function)
        )
        await self._ensure(NETWORK_POLICIES, key, wanted.network_policy, wanted.network_policy)
        await self._ensure(SERVICES, key, wanted.service, wanted.service)
        await self._ensure(DEPLOYMENTS, key, wanted.deployment, newborn)

    async def _ensure_for_runs(self, function: Function) -> None:
        """Bring what a Job Function has to what it should be: no instances, but an address."""
        self._code_version(function)
        try:
            policy, service = desired_children.run_children(function, self._installation.settings)
        except UnknownRuntime as error:
            raise _unknown_runtime(error) from error
        await self._ensure(NETWORK_POLICIES, function.key, policy, policy)
        await self._ensure(SERVICES, function.key, service, service)

    def _wanted(self, function: Function, code: CodeState | None) -> Children:
        installation = self._installation
        tokens = instance_tokens(installation.key, function.key, function.uid)
        try:
            return desired_children.children(function, installation.settings, tokens, code)
        except UnknownRuntime as error:
            raise _unknown_runtime(error) from error

    async def _code(self, function: Function) -> CodeState | None:
        """Return the code's state; the ConfigMap is read only when it changed in any way."""
        seen = self._code_version(function)
        if seen is None or function.code is None:
            return None
        live = self.live(DEPLOYMENTS, function.key)
        known = state_in(live) if live else None
        if known and known.seen == seen:
            return known
        namespace, name = function.key.namespace, function.code.config_map or ""
        try:
            found = await self._api.get(CONFIG_MAPS, namespace, name)
        except ApiNotFound:
            raise _no_config_map(name) from None
        return state_of(found, seen)

    def _code_version(self, function: Function) -> str | None:
        name = function.code.config_map if function.code else None
        if name is None:
            return None
        version = self._world.code_version(function.key.namespace, name)
        if version is None:
            raise _no_config_map(name)
        return version

    async def _ensure(
        self, resource: Resource, key: FunctionKey, wanted: Json, newborn: Json
    ) -> None:
        try:
            await self._write(resource, key, wanted, newborn)
        except ApiNamespaceEnding:
            raise
        except ApiError as error:
            if not _lasts(error):
                raise
            raise _refused(resource, error) from error

    async def _write(
        self, resource: Resource, key: FunctionKey, wanted: Json, newborn: Json
    ) -> None:
        live = self.live(resource, key) or await self._create(resource, key, newborn)
        self._check_ownership(resource, live, wanted)
        if self._as_applied(resource, key, live, wanted):
            return
        if resource is DEPLOYMENTS:
            await self._claim_replicas(live)
        answer = await self._api.apply(resource, wanted, manager=MANAGER_CONTROLLER)
        self._wrote(resource, key, answer)

    async def _create(self, resource: Resource, key: FunctionKey, newborn: Json) -> Json:
        """Make the object; return what is there then, which may be what somebody else made."""
        try:
            made = await self._api.apply_yielding(resource, newborn, manager=MANAGER_CONTROLLER)
        except ApiConflict:
            found = await self._api.get(resource, key.namespace, key.name)
            self._check_ownership(resource, found, newborn)
            self._echo.wrote((resource.kind, key), self._world.child(resource, key), found)
            return found
        self._wrote(resource, key, made)
        return made

    async def _claim_replicas(self, live: Json) -> None:
        """Make the autoscaler an owner of the replicas, before an apply leaves them out."""
        annotations = live["metadata"].get("annotations", {})
        if desired_children.ANNOTATION_REPLICAS_OWNER in annotations:
            return
        replicas = int(live["spec"].get("replicas", 1))
        manager = MANAGER_AUTOSCALER
        try:
            claim = desired_children.replicas_claim(live, replicas)
            await self._api.apply_yielding(DEPLOYMENTS, claim, manager=manager)
        except ApiConflict:  # whoever scaled meanwhile owns them
            claim = desired_children.replicas_claim(live, None)
            await self._api.apply(DEPLOYMENTS, claim, manager=manager)

    def _check_ownership(self, resource: Resource, live: Json, wanted: Json) -> None:
        owner = wanted["metadata"]["ownerReferences"][0]
        whose = drift.ownership(live, owner)
        if whose is Ownership.LEAVING:
            raise Leaving(f"{resource.kind} {owner['name']} is still being deleted")
        if whose is Ownership.FOREIGN:
            text = (
                f"a {resource.kind} {owner['name']!r} that Torpor did not make is in the way; "
                "delete or rename it, or give the Function another name"
            )
            raise Blocked(Problem(NOT_OWNED, text, final=True))

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

    def live(self, resource: Resource, key: FunctionKey) -> Json | None:
        """Return the child as the watch shows it, or as it was last written."""
        watched = self._world.child(resource, key)
        live = self._echo.latest((resource.kind, key), watched)
        return None if live is None else dict(live)

    def _wrote(self, resource: Resource, key: FunctionKey, answer: Json) -> None:
        self._echo.wrote((resource.kind, key), self._world.child(resource, key), answer)
        mark = drift.fingerprint(answer)
        self._accepted[resource.kind, key] = (answer["metadata"]["uid"], mark)

    def forget(self, key: FunctionKey) -> None:
        """Hold nothing of a Function that is gone."""
        for kind in KINDS:
            self._accepted.pop((kind, key), None)


def _lasts(error: ApiError) -> bool:
    return error.status in REFUSALS or (error.status == 500 and error.message.startswith(UNTYPED))


def _refused(resource: Resource, error: ApiError) -> Blocked:
    said = " ".join(error.message.split())[:MESSAGE_CHARACTERS]
    text = f"the API server refuses its {resource.kind}: {said}"
    return Blocked(Problem(REFUSED, text, final=True))


def _unknown_runtime(error: UnknownRuntime) -> Blocked:
    return Blocked(Problem(UNKNOWN_RUNTIME, str(error), final=True))
