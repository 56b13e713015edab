"""The platform that is a Kubernetes cluster: Functions, their pods, their Deployments' scale."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from torpor.errors import ApiNotFound
from torpor.platform.base import (
    Change,
    FunctionChanged,
    FunctionRefused,
    Instance,
    InstancesChanged,
    Scale,
    Synced,
)
from torpor.platform.kubernetes.client import KubernetesApi
from torpor.platform.kubernetes.resources import DEPLOYMENTS, PODS
from torpor.platform.kubernetes.throttle import Clock
from torpor.platform.kubernetes.watched import Watched, concerned, function_in, run
from torpor.resources import names
from torpor.resources.names import FunctionKey
from torpor.resources.stand_in import stand_in

log = logging.getLogger(__name__)

REMOVAL_PATCHES = 8
"""How many pods are annotated at once."""


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
        self._watched: Watched | None = None

    async def changes(self) -> AsyncGenerator[Change]:
        """Yield what exists, then `Synced`, then every change, until cancelled or closed.

        Changes that come faster than they are taken are merged: what is told is the state then.
        """
        watched = self._watched = Watched(self._api, self._namespace, self._clock)
        watching = asyncio.create_task(run(watched.reflectors), name="watch functions")
        try:
            async with aclosing(_told(watched, watching)) as told:
                async for change in told:
                    yield change
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

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
        known = self._watched.removal_costs(key) if self._watched else {}
        gate = asyncio.Semaphore(REMOVAL_PATCHES)
        async with asyncio.TaskGroup() as group:
            for name, in_flight in load.items():
                if name in known and known[name] != str(in_flight):
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


class SharedPlatform(KubernetesPlatform):
    """A KubernetesPlatform over a watch that somebody else runs, for as long as this is used."""

    def __init__(self, api: KubernetesApi, watched: Watched) -> None:
        super().__init__(api)
        self._watched = self._shared = watched

    async def changes(self) -> AsyncGenerator[Change]:
        """Yield what exists, then `Synced`, then every change, until cancelled or closed."""
        async with aclosing(_told(self._shared, None)) as told:
            async for change in told:
                yield change


class _Pending:
    """Keys whose state is to be told (dicts, because they keep the order), and a bell."""

    def __init__(self, watched: Watched) -> None:
        functions, with_pods = watched.keys()
        self.functions: dict[FunctionKey, None] = dict.fromkeys(functions)
        self.instances: dict[FunctionKey, None] = dict.fromkeys(with_pods)
        self.event = asyncio.Event()

    def function_changed(self, key: FunctionKey) -> None:
        self.functions[key] = None
        self.event.set()

    def instance_changed(self, old: Instance | None, new: Instance | None) -> None:
        self.instances |= dict.fromkeys(concerned(old, new))
        self.event.set()

    def take(self, watched: Watched) -> Iterator[Change]:
        changed, self.functions = self.functions, {}
        moved, self.instances = self.instances, {}
        self.event.clear()
        for key in changed:
            yield _function_told(key, watched)
        for key in moved:
            yield InstancesChanged(key, watched.instances(key))


def _function_told(key: FunctionKey, watched: Watched) -> Change:
    shown = watched.shown(key)
    function = function_in(shown) if shown else None
    if shown is None or function:
        return FunctionChanged(key, function)
    return FunctionRefused(key, stand_in(shown))


async def _told(watched: Watched, watching: asyncio.Task[None] | None) -> AsyncGenerator[Change]:
    """Yield what the watch tells; raise what ended `watching`, as nothing would be told then."""
    pending = _Pending(watched)
    with watched.telling(pending):
        await _first(watched.synced(), watching)
        for change in pending.take(watched):
            yield change
        yield Synced()
        while True:
            await _first(pending.event.wait(), watching)
            for change in pending.take(watched):
                yield change


async def _first(waited: Coroutine[Any, Any, object], watching: asyncio.Task[None] | None) -> None:
    waiter = asyncio.create_task(waited, name="next change")
    try:
        await asyncio.wait(
            [waiter, watching] if watching else [waiter], return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        waiter.cancel()
    if watching and watching.done():
        watching.result()
