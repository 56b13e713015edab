"""A platform in memory: functions, scales with versions, instances that start when scaled up.

It keeps to the contract of `Platform`; what goes wrong is asked for by the test (`fail_next`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torpor.errors import ApiConflict, ApiError, ApiNotFound
from torpor.gateway.probe import Heard
from torpor.platform.base import (
    Change,
    FunctionChanged,
    FunctionRefused,
    Instance,
    InstancesChanged,
    Scale,
    Synced,
    Trouble,
)
from torpor.resources.function import Function
from torpor.resources.names import FunctionKey


def function(
    name: str = "echo", *, namespace: str = "shop", uid: str = "u1", **spec: Any
) -> Function:
    """Return a Function by image with these fields in its spec."""
    return Function.parse(
        {
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "spec": {"image": "example/echo", **spec},
        }
    )


@dataclass
class Written:
    """One scale that was set."""

    key: FunctionKey
    replicas: int
    manager: str


class FakePlatform:
    """`starts_after_seconds` after a scale up an instance exists, listens, and is ready (None: it
    never is). Instances end at once when scaled down."""

    def __init__(self, starts_after_seconds: float | None = 0.5) -> None:
        self.starts_after_seconds = starts_after_seconds
        self.functions: dict[FunctionKey, Function] = {}
        self.replicas: dict[FunctionKey, int] = {}
        self.versions: dict[FunctionKey, int] = {}
        self.instances: dict[FunctionKey, dict[str, Instance]] = {}
        self.written: list[Written] = []
        self.reads = 0
        self.failures: list[ApiError] = []
        self.call_seconds = 0.01
        self.listening: set[tuple[str, int]] = set()
        self._numbers = itertools.count(1)
        self._watchers: list[asyncio.Queue[Change | ApiError]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # The Platform protocol

    async def changes(self) -> AsyncIterator[Change]:
        queue: asyncio.Queue[Change | ApiError] = asyncio.Queue()
        for key, item in self.functions.items():
            queue.put_nowait(FunctionChanged(key, item))
        for key in self.instances:
            queue.put_nowait(self._instances_of(key))
        queue.put_nowait(Synced())
        self._watchers.append(queue)
        try:
            while True:
                change = await queue.get()
                if isinstance(change, ApiError):
                    raise change
                yield change
        finally:
            self._watchers.remove(queue)

    async def scale(self, key: FunctionKey) -> Scale:
        self.reads += 1
        await self._call()
        if key not in self.replicas:
            raise ApiNotFound(404, "NotFound", f"{key} has no workload")
        return Scale(self.replicas[key], str(self.versions[key]))

    async def set_scale(
        self, key: FunctionKey, replicas: int, *, manager: str, version: str | None = None
    ) -> Scale:
        await self._call()
        if version is not None and version != str(self.versions[key]):
            raise ApiConflict(409, "Conflict", f"{key} was changed")
        self.written.append(Written(key, replicas, manager))
        self.set_replicas(key, replicas)
        return Scale(replicas, str(self.versions[key]))

    async def prefer_removal(self, key: FunctionKey, load: Mapping[str, int]) -> None:
        await self._call()

    # What a test does to it

    def add(self, item: Function, *, workload: bool = True) -> FunctionKey:
        self.functions[item.key] = item
        if workload:
            self.replicas.setdefault(item.key, 0)
            self.versions.setdefault(item.key, 1)
        self._tell(FunctionChanged(item.key, item))
        return item.key

    def refuse(self, item: Function) -> None:
        """Tell that the function is stored as nobody understands it; `item` may stand for it."""
        self._tell(FunctionRefused(item.key, item))

    def remove(self, key: FunctionKey) -> None:
        del self.functions[key]
        self.instances.pop(key, None)
        self._tell(FunctionChanged(key, None))
        self._tell(InstancesChanged(key, ()))

    def set_replicas(self, key: FunctionKey, replicas: int) -> None:
        self.replicas[key] = replicas
        self.versions[key] += 1
        live = [item for item in self._all(key).values() if not item.terminating]
        for item in live[replicas:]:
            self.put(replace(item, terminating=True))
        for _ in range(replicas - len(live)):
            if self.starts_after_seconds is not None:
                self._spawn(self._start(key, self.starts_after_seconds))

    def put(self, instance: Instance) -> None:
        """Tell of an instance as it is now."""
        self._all(instance.function)[instance.name] = instance
        self._tell(self._instances_of(instance.function))

    def take(self, instance: Instance) -> None:
        """Tell that an instance is no more."""
        self._all(instance.function).pop(instance.name, None)
        if instance.address is not None:
            self.listening.discard((instance.address, instance.port))
        self._tell(self._instances_of(instance.function))

    def new(self, key: FunctionKey, **fields: Any) -> Instance:
        """Return an instance that nobody was told of."""
        number = next(self._numbers)
        fresh = Instance(
            function=key,
            name=f"{key.name}-{number}",
            uid=f"uid-{number}",
            address=f"10.0.{number // 250}.{number % 250 + 1}",
            port=8080,
            ready=False,
            terminating=False,
            seen={"created": asyncio.get_running_loop().time()},
        )
        return replace(fresh, **fields)

    def cut_watches(self, error: ApiError) -> None:
        for queue in self._watchers:
            queue.put_nowait(error)

    def live(self, key: FunctionKey) -> list[Instance]:
        return [item for item in self._all(key).values() if not item.terminating]

    def trouble(self, instance: Instance, reason: str, *, final: bool) -> Instance:
        ill = replace(instance, ready=False, trouble=Trouble(reason, f"{reason} it is", final))
        self.put(ill)
        return ill

    # Inside

    def _all(self, key: FunctionKey) -> dict[str, Instance]:
        return self.instances.setdefault(key, {})

    def _instances_of(self, key: FunctionKey) -> InstancesChanged:
        return InstancesChanged(key, tuple(self.instances.get(key, {}).values()))

    def _tell(self, change: Change) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work, name="instance")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self, key: FunctionKey, seconds: float) -> None:
        instance = self.new(key, address=None)
        self.put(instance)
        await asyncio.sleep(seconds)
        if self._all(key).get(instance.name) != instance or instance.terminating:
            return
        number = int(instance.name.rsplit("-", 1)[1])
        address = f"10.0.{number // 250}.{number % 250 + 1}"
        self.listening.add((address, instance.port))
        self.put(replace(instance, address=address, ready=True))

    async def _call(self) -> None:
        await asyncio.sleep(self.call_seconds)
        if self.failures:
            raise self.failures.pop(0)


class FakeProber:
    """Says of an address what the platform knows: whether it listens."""

    def __init__(self, platform: FakePlatform) -> None:
        self._platform = platform
        self.asked = 0

    async def ask(self, address: str, port: int) -> Heard:
        self.asked += 1
        await asyncio.sleep(0)
        return Heard.LISTENS if (address, port) in self._platform.listening else Heard.REFUSED
