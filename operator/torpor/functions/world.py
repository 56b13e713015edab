"""What the controller watches: Functions, their children, their pods, the code's ConfigMaps.

Each change names the Functions that it concerns; what to do about it is not decided here.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torpor.platform.base import Instance
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.pods import instance_of
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    FUNCTIONS,
    NETWORK_POLICIES,
    PODS,
    SERVICES,
    Resource,
)
from torpor.resources.names import LABEL_FUNCTION, LABEL_MANAGED_BY, MANAGED_BY, FunctionKey

Json = dict[str, Any]
Touched = Callable[[FunctionKey], None]

CHILDREN = (DEPLOYMENTS, SERVICES, NETWORK_POLICIES)
OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_FUNCTION}"


class ClusterWorld:
    """Implements `reconcile.World`. `touched` is called with every Function that may need work.

    An empty `namespace` means all.
    """

    def __init__(self, api: KubernetesApi, namespace: str, touched: Touched) -> None:
        self._touched = touched
        self._pods_of: dict[FunctionKey, dict[str, Instance]] = defaultdict(dict)
        self._users_of: dict[ObjectKey, set[FunctionKey]] = defaultdict(set)
        self._functions = Reflector[Json](
            api, Selection(FUNCTIONS, namespace), lambda obj: obj, self._function_changed
        )
        self._children = {
            resource: Reflector[Json](
                api, Selection(resource, namespace, OURS), lambda obj: obj, self._child_changed
            )
            for resource in CHILDREN
        }
        self._pods = Reflector[Instance](
            api, Selection(PODS, namespace, OURS), _instance, self._pod_changed
        )
        self._config_maps = Reflector[str](
            api,
            Selection(CONFIG_MAPS, namespace, metadata_only=True),
            _version,
            self._config_map_changed,
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, reflector in self._all().items():
                group.create_task(reflector.run(), name=f"reflect {name}")

    async def synced(self) -> None:
        """Wait until everything that exists is known."""
        for reflector in self._all().values():
            await reflector.synced.wait()

    def unsynced(self) -> Sequence[str]:
        """Return the kinds of which not everything is known yet."""
        return [name for name, item in self._all().items() if not item.synced.is_set()]

    def silent_seconds(self) -> Mapping[str, float]:
        """Return, by kind, how long ago the API server was last heard."""
        return {name: item.idle_seconds() for name, item in self._all().items()}

    def functions(self) -> Iterable[FunctionKey]:
        """Return the keys of all Functions."""
        return [_function_key(key) for key in self._functions.items()]

    def function(self, key: FunctionKey) -> Json | None:
        """Return the Function object."""
        return self._functions.get(key.namespace, key.name)

    def child(self, resource: Resource, key: FunctionKey) -> Json | None:
        """Return the child of that kind, if Torpor made it."""
        return self._children[resource].get(key.namespace, key.name)

    def instances(self, key: FunctionKey) -> Sequence[Instance]:
        """Return the function's pods."""
        return tuple(self._pods_of.get(key, {}).values())

    def code_version(self, namespace: str, config_map: str) -> str | None:
        """Return a text that changes when the ConfigMap does; None if there is no such."""
        return self._config_maps.get(namespace, config_map)

    def _all(self) -> Mapping[str, Reflector[Any]]:
        children = {resource.plural: item for resource, item in self._children.items()}
        return {
            FUNCTIONS.plural: self._functions,
            **children,
            PODS.plural: self._pods,
            CONFIG_MAPS.plural: self._config_maps,
        }

    def _function_changed(self, key: ObjectKey, old: Json | None, new: Json | None) -> None:
        function = _function_key(key)
        before, after = _code_of(key, old), _code_of(key, new)
        if before != after:
            self._forget_user(before, function)
            if after:
                self._users_of[after].add(function)
        self._touched(function)

    def _forget_user(self, config_map: ObjectKey | None, function: FunctionKey) -> None:
        if config_map is None:
            return
        users = self._users_of[config_map]
        users.discard(function)
        if not users:
            del self._users_of[config_map]

    def _child_changed(self, key: ObjectKey, _old: Json | None, _new: Json | None) -> None:
        self._touched(_function_key(key))

    def _pod_changed(self, key: ObjectKey, old: Instance | None, new: Instance | None) -> None:
        for item in (old, new):
            if item and (old is None or new is None or old.function != new.function):
                self._index(item.function, key.name, new if item is new else None)
        if old and new:
            self._index(new.function, key.name, new)
            if _told(old) == _told(new):
                return
        for function in {item.function for item in (old, new) if item}:
            self._touched(function)

    def _index(self, function: FunctionKey, name: str, instance: Instance | None) -> None:
        if instance:
            self._pods_of[function][name] = instance
            return
        self._pods_of[function].pop(name, None)
        if not self._pods_of[function]:
            del self._pods_of[function]

    def _config_map_changed(self, key: ObjectKey, _old: str | None, _new: str | None) -> None:
        for function in tuple(self._users_of.get(key, ())):
            self._touched(function)


def _function_key(key: ObjectKey) -> FunctionKey:
    return FunctionKey(key.namespace, key.name)


def _code_of(key: ObjectKey, obj: Json | None) -> ObjectKey | None:
    name = ((obj or {}).get("spec") or {}).get("code", {}).get("configMap")
    return ObjectKey(key.namespace, name) if name else None


def _instance(pod: Json) -> Instance | None:
    return instance_of(pod, {}, time.monotonic())


def _told(instance: Instance) -> tuple[object, ...]:
    """What a status says about it."""
    return instance.ready, instance.terminating, instance.trouble


def _version(config_map: Json) -> str:
    meta = config_map["metadata"]
    return f"{meta['uid']}.{meta['resourceVersion']}"
