"""The platform that is a Kubernetes cluster: Functions, their pods, their Deployments' scale."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import ApiNotFound, InvalidResource
from torpor.platform.base import Change, FunctionChanged, Instance, InstancesChanged, Scale, Synced
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.pods import instance_of
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import DEPLOYMENTS, FUNCTIONS, PODS
from torpor.platform.kubernetes.throttle import Clock
from torpor.resources import names
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey

log = logging.getLogger(__name__)

REMOVAL_PATCHES = 8
"""How many pods are annotated at once."""


@dataclass(frozen=True, slots=True)
class _Pod:
    instance: Instance
    removal_cost: str


class KubernetesPlatform:
    """Implements `platform.base.Platform` over one API server.

    `namespace` limits it to one namespace; empty means all.
    """

    def __init__(
        self, api: KubernetesApi, namespace: str = "", clock: Clock = time.monotonic
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._pods: dict[FunctionKey, dict[str, _Pod]] = {}
        self._reflectors: tuple[Reflector[Function], Reflector[_Pod]] | None = None

    def idle_seconds(self) -> float:
        """Return how long ago the more silent of the two watches was last heard; 0 before."""
        return max((item.idle_seconds() for item in self._reflectors or ()), default=0.0)

    async def changes(self) -> AsyncGenerator[Change]:
        """Yield what exists, then `Synced`, then every change, until cancelled or closed.

        Changes that come faster than they are taken are merged: what is told is the state then.
        """
        pending = _Pending()
        functions = self._watch_functions(pending)
        pods = self._watch_pods(pending)
        self._reflectors = (functions, pods)
        tasks = [
            asyncio.create_task(functions.run(), name="reflect functions"),
            asyncio.create_task(pods.run(), name="reflect pods"),
            asyncio.create_task(_both(functions.synced, pods.synced, pending), name="sync"),
        ]
        try:
            while True:
                await _next(pending.event, tasks)
                pending.event.clear()
                for change in self._take(pending, functions):
                    yield change
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def scale(self, key: FunctionKey) -> Scale:
        """Return the current scale; ApiNotFound when the function has no Deployment yet."""
        return await self._api.get_scale(DEPLOYMENTS, key.namespace, key.name)

    async def set_scale(
        self, key: FunctionKey, replicas: int, *, manager: str, version: str | None = None
    ) -> Scale:
        """Ask for `replicas`; with `version`, ApiConflict if anything changed since it was read."""
        return await self._api.set_scale(
            DEPLOYMENTS, key.namespace, key.name, replicas, manager=manager, version=version
        )

    async def prefer_removal(self, key: FunctionKey, load: Mapping[str, int]) -> None:
        """Let the ReplicaSet remove the least loaded pods first, by their deletion cost.

        Pods whose cost is right already are not written; those that left meanwhile are skipped.
        """
        known = self._pods.get(key, {})
        gate = asyncio.Semaphore(REMOVAL_PATCHES)
        async with asyncio.TaskGroup() as group:
            for name, in_flight in load.items():
                if name in known and known[name].removal_cost != str(in_flight):
                    job = self._set_cost(key.namespace, name, in_flight, gate)
                    group.create_task(job, name=f"deletion cost of {name}")

    async def _set_cost(
        self, namespace: str, name: str, cost: int, gate: asyncio.Semaphore
    ) -> None:
        annotations = {names.ANNOTATION_DELETION_COST: str(cost)}
        body = {"metadata": {"annotations": annotations}}
        async with gate:
            try:
                manager = names.MANAGER_AUTOSCALER
                await self._api.patch(PODS, namespace, name, body, manager=manager)
            except ApiNotFound:
                log.debug("pod left before its deletion cost was set: %s/%s", namespace, name)

    def _watch_functions(self, pending: _Pending) -> Reflector[Function]:
        def on_change(key: ObjectKey, _old: Function | None, _new: Function | None) -> None:
            pending.functions[FunctionKey(key.namespace, key.name)] = None
            pending.event.set()

        selection = Selection(FUNCTIONS, self._namespace)
        return Reflector(self._api, selection, _parse, on_change)

    def _watch_pods(self, pending: _Pending) -> Reflector[_Pod]:
        self._pods = {}

        def keep(obj: dict[str, Any]) -> _Pod | None:
            meta = obj["metadata"]
            return self._read(obj, pods.get(meta["namespace"], meta["name"]))

        def on_change(_key: ObjectKey, old: _Pod | None, new: _Pod | None) -> None:
            self._index(old, new)
            for pod in (old, new):
                if pod and (old is None or new is None or old.instance != new.instance):
                    pending.instances[pod.instance.function] = None
                    pending.event.set()

        selection = Selection(PODS, self._namespace, labels=names.LABEL_FUNCTION)
        pods: Reflector[_Pod] = Reflector(self._api, selection, keep, on_change)
        return pods

    def _read(self, obj: dict[str, Any], before: _Pod | None) -> _Pod | None:
        same = before is not None and before.instance.uid == obj["metadata"]["uid"]
        seen = before.instance.seen if before and same else {}
        instance = instance_of(obj, seen, self._clock())
        if instance is None:
            return None
        annotations = obj["metadata"].get("annotations") or {}
        return _Pod(instance, annotations.get(names.ANNOTATION_DELETION_COST, "0"))

    def _index(self, old: _Pod | None, new: _Pod | None) -> None:
        if old:
            group = self._pods.get(old.instance.function, {})
            group.pop(old.instance.name, None)
            if not group:
                self._pods.pop(old.instance.function, None)
        if new:
            self._pods.setdefault(new.instance.function, {})[new.instance.name] = new

    def _take(self, pending: _Pending, functions: Reflector[Function]) -> Iterator[Change]:
        # `synced` is read first: what made it true is in the two sets by now.
        synced, pending.synced = pending.synced, False
        changed, pending.functions = pending.functions, {}
        moved, pending.instances = pending.instances, {}
        for key in changed:
            yield FunctionChanged(key, functions.get(key.namespace, key.name))
        for key in moved:
            pods = self._pods.get(key, {})
            yield InstancesChanged(key, tuple(pod.instance for pod in pods.values()))
        if synced:
            yield Synced()


class _Pending:
    """Keys whose state is to be told (dicts, because they keep the order), and a bell."""

    def __init__(self) -> None:
        self.functions: dict[FunctionKey, None] = {}
        self.instances: dict[FunctionKey, None] = {}
        self.synced = False
        self.event = asyncio.Event()


async def _both(first: asyncio.Event, second: asyncio.Event, pending: _Pending) -> None:
    await first.wait()
    await second.wait()
    pending.synced = True
    pending.event.set()


async def _next(event: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the event; raise what ended a reflector, since nothing would be told any more."""
    waiter = asyncio.create_task(event.wait(), name="next change")
    try:
        running = [task for task in tasks if not task.done()]
        await asyncio.wait([waiter, *running], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


def _parse(obj: dict[str, Any]) -> Function | None:
    try:
        return Function.parse(obj)
    except InvalidResource as error:
        meta = obj["metadata"]
        fields = {"function": f"{meta.get('namespace')}/{meta['name']}", "error": str(error)}
        log.warning("a Function is ignored", extra={"fields": fields})
        return None
