"""Functions and their pods, watched once however many want to know of them.

The controller's reconciler and its autoscaler look at the same objects; each of them listens here
instead of keeping a watch and a copy of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torpor.errors import InvalidResource
from torpor.platform.base import Instance
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.packed import pack, unpack
from torpor.platform.kubernetes.pods import instance_of
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import FUNCTIONS, PODS
from torpor.platform.kubernetes.throttle import Clock
from torpor.resources import names
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Pod:
    instance: Instance
    removal_cost: str


class Listener(Protocol):
    """Is called synchronously, after what is watched changed; must not raise."""

    def function_changed(self, key: FunctionKey) -> None:
        """Take note that the Function appeared, changed or vanished."""
        ...

    def instance_changed(self, old: Instance | None, new: Instance | None) -> None:
        """Take note that a pod changed; None for what is not there."""
        ...


class Watched:
    """All Functions of a namespace (empty: of all), kept packed, and their pods.

    True while the two `reflectors` run.
    """

    def __init__(self, api: KubernetesApi, namespace: str, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._listeners: list[Listener] = []
        self._pods_of: dict[FunctionKey, dict[str, _Pod]] = {}
        self.functions: Reflector[bytes] = Reflector(
            api, Selection(FUNCTIONS, namespace), pack, self._function_changed
        )
        self._pods: Reflector[_Pod] = Reflector(
            api, Selection(PODS, namespace, names.LABEL_FUNCTION), self._keep_pod, self._pod_changed
        )

    @property
    def reflectors(self) -> Mapping[str, Reflector[Any]]:
        """What has to run, by kind."""
        return {FUNCTIONS.plural: self.functions, PODS.plural: self._pods}

    @contextmanager
    def telling(self, listener: Listener) -> Iterator[None]:
        """Call `listener` with every change until the block ends."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    async def synced(self) -> None:
        """Wait until everything that exists is known."""
        for reflector in self.reflectors.values():
            await reflector.synced.wait()

    def keys(self) -> tuple[list[FunctionKey], list[FunctionKey]]:
        """Return the keys of all Functions, and those of which there are pods."""
        return [_function_key(key) for key in self.functions.items()], list(self._pods_of)

    def shown(self, key: FunctionKey) -> Json | None:
        """Return the Function as the API shows it."""
        packed = self.functions.get(key.namespace, key.name)
        return None if packed is None else unpack(packed)

    def function(self, key: FunctionKey) -> Function | None:
        """Return the Function; None if there is none that can be understood."""
        shown = self.shown(key)
        return None if shown is None else function_in(shown)

    def instances(self, key: FunctionKey) -> tuple[Instance, ...]:
        """Return the function's pods."""
        return tuple(pod.instance for pod in self._pods_of.get(key, {}).values())

    def removal_costs(self, key: FunctionKey) -> Mapping[str, str]:
        """Return the deletion cost of each of the function's pods."""
        return {name: pod.removal_cost for name, pod in self._pods_of.get(key, {}).items()}

    def _function_changed(self, key: ObjectKey, _old: bytes | None, _new: bytes | None) -> None:
        for listener in tuple(self._listeners):
            listener.function_changed(_function_key(key))

    def _keep_pod(self, obj: Json) -> _Pod | None:
        meta = obj["metadata"]
        before = self._pods.get(meta["namespace"], meta["name"])
        same = before is not None and before.instance.uid == meta["uid"]
        seen = before.instance.seen if before and same else {}
        instance = instance_of(obj, seen, self._clock())
        if instance is None:
            return None
        annotations = meta.get("annotations") or {}
        return _Pod(instance, annotations.get(names.ANNOTATION_DELETION_COST, "0"))

    def _pod_changed(self, _key: ObjectKey, old: _Pod | None, new: _Pod | None) -> None:
        self._index(old, new)
        before, after = old.instance if old else None, new.instance if new else None
        if before == after:
            return
        for listener in tuple(self._listeners):
            listener.instance_changed(before, after)

    def _index(self, old: _Pod | None, new: _Pod | None) -> None:
        if old:
            group = self._pods_of.get(old.instance.function, {})
            group.pop(old.instance.name, None)
            if not group:
                self._pods_of.pop(old.instance.function, None)
        if new:
            self._pods_of.setdefault(new.instance.function, {})[new.instance.name] = new


def concerned(old: Instance | None, new: Instance | None) -> Iterable[FunctionKey]:
    """Return the functions that a change of a pod is about: two when it got another label."""
    return {item.function for item in (old, new) if item}


def function_in(obj: Json) -> Function | None:
    """Return what the object means; None, and a line in the log, if it cannot be understood."""
    try:
        return Function.parse(obj)
    except InvalidResource as error:
        meta = obj["metadata"]
        fields = {"function": f"{meta.get('namespace')}/{meta['name']}", "error": str(error)}
        log.warning("a Function is not understood", extra={"fields": fields})
        return None


async def run(reflectors: Mapping[str, Reflector[Any]]) -> None:
    """Watch until cancelled."""
    async with asyncio.TaskGroup() as group:
        for name, reflector in reflectors.items():
            group.create_task(reflector.run(), name=f"reflect {name}")


def _function_key(key: ObjectKey) -> FunctionKey:
    return FunctionKey(key.namespace, key.name)
