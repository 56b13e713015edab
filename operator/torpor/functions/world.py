"""What the controller watches: Functions, their children, their pods, the code's ConfigMaps.

Each change names the Functions that it concerns; what to do about it is not decided here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torpor.platform.base import Instance
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.packed import pack, unpack
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NETWORK_POLICIES,
    SERVICES,
    Resource,
)
from torpor.platform.kubernetes.watched import Watched, concerned, run
from torpor.resources.names import LABEL_FUNCTION, LABEL_MANAGED_BY, MANAGED_BY, FunctionKey

Json = dict[str, Any]
Touched = Callable[[FunctionKey], None]

CHILDREN = (DEPLOYMENTS, SERVICES, NETWORK_POLICIES)
OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_FUNCTION}"


class ClusterWorld:
    """Implements `children.World`. `touched` is called with every Function that may need work.

    An empty `namespace` means all. `on_config_map` is called with every ConfigMap that changed, for
    whoever else has code in one. `watched` is the share of it that others listen to as well; it
    is kept true while `run` runs.
    """

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        touched: Touched,
        on_config_map: Callable[[ObjectKey], None] = lambda _key: None,
    ) -> None:
        self.watched = Watched(api, namespace)
        self._touched = touched
        self._on_config_map = on_config_map
        self._code_of: dict[FunctionKey, ObjectKey] = {}
        self._users_of: dict[ObjectKey, set[FunctionKey]] = defaultdict(set)
        self._children = {
            resource: Reflector[bytes](
                api, Selection(resource, namespace, OURS), pack, self._child_changed
            )
            for resource in CHILDREN
        }
        self._config_maps = Reflector[str](
            api,
            Selection(CONFIG_MAPS, namespace, metadata_only=True),
            _version,
            self._config_map_changed,
        )

    async def run(self) -> None:
        """Watch until cancelled."""
        with self.watched.telling(self):
            await run(self._all())

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
        return self.watched.keys()[0]

    def function(self, key: FunctionKey) -> Json | None:
        """Return the Function object."""
        return self.watched.shown(key)

    def child(self, resource: Resource, key: FunctionKey) -> Json | None:
        """Return the child of that kind, if Torpor made it."""
        packed = self._children[resource].get(key.namespace, key.name)
        return None if packed is None else unpack(packed)

    def instances(self, key: FunctionKey) -> Sequence[Instance]:
        """Return the function's pods."""
        return self.watched.instances(key)

    def code_version(self, namespace: str, config_map: str) -> str | None:
        """Return a text that changes when the ConfigMap does; None if there is no such."""
        return self._config_maps.get(namespace, config_map)

    def _all(self) -> Mapping[str, Reflector[Any]]:
        children = {resource.plural: item for resource, item in self._children.items()}
        return {**self.watched.reflectors, **children, CONFIG_MAPS.plural: self._config_maps}

    # What the watches tell

    def function_changed(self, key: FunctionKey) -> None:
        """Note where its code is, and have it looked at."""
        before, after = self._code_of.pop(key, None), _code_of(key, self.function(key))
        if after:
            self._code_of[key] = after
        if before != after:
            self._forget_user(before, key)
            if after:
                self._users_of[after].add(key)
        self._touched(key)

    def instance_changed(self, old: Instance | None, new: Instance | None) -> None:
        """Have its function looked at, if a status would say anything else."""
        if old and new and _told(old) == _told(new):
            return
        for function in concerned(old, new):
            self._touched(function)

    def _forget_user(self, config_map: ObjectKey | None, function: FunctionKey) -> None:
        if config_map is None:
            return
        users = self._users_of[config_map]
        users.discard(function)
        if not users:
            del self._users_of[config_map]

    def _child_changed(self, key: ObjectKey, _old: bytes | None, _new: bytes | None) -> None:
        self._touched(FunctionKey(key.namespace, key.name))

    def _config_map_changed(self, key: ObjectKey, _old: str | None, _new: str | None) -> None:
        for function in tuple(self._users_of.get(key, ())):
            self._touched(function)
        self._on_config_map(key)


def _code_of(function: FunctionKey, obj: Json | None) -> ObjectKey | None:
    name = ((obj or {}).get("spec") or {}).get("code", {}).get("configMap")
    return ObjectKey(function.namespace, name) if name else None


def _told(instance: Instance) -> tuple[object, ...]:
    """What a status says about it, and whose it is."""
    return instance.function, instance.ready, instance.terminating, instance.trouble


def _version(config_map: Json) -> str:
    meta = config_map["metadata"]
    return f"{meta['uid']}.{meta['resourceVersion']}"
