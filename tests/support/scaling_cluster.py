"""A toy cluster for the autoscaler: pods that take a while to start, gateways with a steady load.

It implements `Platform` and `Gateways` in memory, on the loop's clock. Nothing in it is about how
a real cluster fails, except what a test asks for: errors, conflicts, slowness, silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.scaling_time import loop_time
from torpor.errors import ApiConflict, ApiNotFound
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
from torpor.resources.load import ColdStart, FunctionLoad, GatewayLoad, ParkAnswer
from torpor.resources.names import FunctionKey


def function(name: str = "f", **scaling: Any) -> Function:
    """Return a function with these fields of `spec.scaling` (and `startupTimeoutSeconds`)."""
    spec: dict[str, Any] = {"image": "i", "scaling": scaling}
    if "startupTimeoutSeconds" in scaling:
        spec["startupTimeoutSeconds"] = scaling.pop("startupTimeoutSeconds")
    return Function.parse(
        {"metadata": {"namespace": "ns", "name": name, "uid": name}, "spec": spec}
    )


@dataclass
class Write:
    at: float
    key: FunctionKey
    replicas: int
    version: str | None
    manager: str


@dataclass
class Workload:
    replicas: int = 0
    version: int = 1
    pods: dict[str, float] = field(default_factory=dict)


class ToyPlatform:
    """Deployments whose pods are ready `start_seconds` after they were asked for."""

    def __init__(self, start_seconds: float = 1.0) -> None:
        self.start_seconds = start_seconds
        self.workloads: dict[FunctionKey, Workload] = {}
        self.functions: dict[FunctionKey, Function] = {}
        self.writes: list[Write] = []
        self.reads = 0
        self.removal: dict[FunctionKey, Mapping[str, int]] = {}
        self.trouble: Trouble | None = None
        self.before_write: Callable[[FunctionKey], Awaitable[None]] | None = None
        self.before_read: Callable[[FunctionKey], Awaitable[None]] | None = None
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self._names = 0

    def add(self, made: Function, replicas: int = 0) -> FunctionKey:
        self.functions[made.key] = made
        self.workloads.setdefault(made.key, Workload())
        self._queue.put_nowait(FunctionChanged(made.key, made))
        self.force(made.key, replicas)
        return made.key

    def refuse(self, made: Function) -> None:
        """Tell that the function is stored as nobody understands it; `made` may stand for it."""
        self._queue.put_nowait(FunctionRefused(made.key, made))

    def delete(self, key: FunctionKey) -> None:
        del self.functions[key], self.workloads[key]
        self._queue.put_nowait(InstancesChanged(key, ()))
        self._queue.put_nowait(FunctionChanged(key, None))

    def force(self, key: FunctionKey, replicas: int) -> None:
        """Scale as somebody else would."""
        workload = self.workloads[key]
        if workload.replicas != replicas:
            workload.replicas, workload.version = replicas, workload.version + 1
        while len(workload.pods) > replicas:
            workload.pods.pop(min(workload.pods, key=lambda n: (self._cost(key, n), n)))
        while len(workload.pods) < replicas:
            self._names += 1
            ready_at = loop_time() + self.start_seconds
            workload.pods[f"pod-{self._names:04}"] = ready_at
            if ready_at < float("inf"):
                asyncio.get_running_loop().call_at(ready_at, self._tell, key)
        self._tell(key)

    def ready(self, key: FunctionKey) -> int:
        return sum(at <= loop_time() for at in self.workloads[key].pods.values())

    def replicas(self, key: FunctionKey) -> int:
        return self.workloads[key].replicas

    def _cost(self, key: FunctionKey, name: str) -> int:
        return self.removal.get(key, {}).get(name, 0)

    def _tell(self, key: FunctionKey) -> None:
        if key not in self.workloads:
            return
        instances = tuple(
            Instance(key, name, name, "10.0.0.1", 8080, at <= loop_time(), False, self.trouble)
            for name, at in self.workloads[key].pods.items()
        )
        self._queue.put_nowait(InstancesChanged(key, instances))

    async def changes(self) -> AsyncIterator[Change]:
        self._queue = asyncio.Queue()
        for key, made in self.functions.items():
            self._queue.put_nowait(FunctionChanged(key, made))
            self._tell(key)
        self._queue.put_nowait(Synced())
        while True:
            yield await self._queue.get()

    async def scale(self, key: FunctionKey) -> Scale:
        self.reads += 1
        if self.before_read:
            await self.before_read(key)
        if key not in self.workloads:
            raise ApiNotFound(404, "NotFound", str(key))
        workload = self.workloads[key]
        return Scale(workload.replicas, str(workload.version))

    async def set_scale(
        self, key: FunctionKey, replicas: int, *, manager: str, version: str | None = None
    ) -> Scale:
        if self.before_write:
            await self.before_write(key)
        workload = self.workloads[key]
        if version is not None and version != str(workload.version):
            raise ApiConflict(409, "Conflict", str(key))
        self.writes.append(Write(loop_time(), key, replicas, version, manager))
        self.force(key, replicas)
        return Scale(replicas, str(workload.version))

    async def prefer_removal(self, key: FunctionKey, load: Mapping[str, int]) -> None:
        self.removal[key] = load


class ToyGateway:
    """One gateway. `demand` is the concurrency of a function while somebody serves it."""

    def __init__(self, name: str, platform: ToyPlatform) -> None:
        self.name = name
        self.boot = "1"
        self.silent = False
        self.platform = platform
        self.demand: dict[FunctionKey, float] = {}
        self.present: dict[FunctionKey, FunctionLoad] = {}
        self.cold_starts: tuple[ColdStart, ...] = ()
        self.parked: set[FunctionKey] = set()
        self.settled: list[tuple[FunctionKey, bool]] = []
        self._integral: dict[FunctionKey, float] = {}
        self._at = loop_time()

    def set(self, key: FunctionKey, demand: float) -> None:
        """From now on this many requests are there at once; the first one wakes the function."""
        self._integrate()
        self.demand[key] = demand
        if demand and self.platform.replicas(key) == 0:
            self.platform.force(key, 1)

    def load(self) -> GatewayLoad:
        self._integrate()
        return GatewayLoad(self.name, self.boot, self._loads(), self.cold_starts)

    def park(self, key: FunctionKey) -> ParkAnswer:
        self.parked.add(key)
        load = self._load(key)
        return ParkAnswer(load.in_flight, load.queued, load.held)

    def _integrate(self) -> None:
        now = loop_time()
        for key, demand in self.demand.items():
            before = self._integral.get(key, 0.0)
            self._integral[key] = before + demand * (now - self._at)
        self._at = now

    def _loads(self) -> dict[FunctionKey, FunctionLoad]:
        awake = [key for key in self.demand if self._awake(key)]
        return {**{key: self._load(key) for key in awake}, **self.present}

    def _awake(self, key: FunctionKey) -> bool:
        known = key in self.platform.workloads
        return known and (self.demand[key] > 0 or self.platform.replicas(key) > 0)

    def _load(self, key: FunctionKey) -> FunctionLoad:
        if key in self.present:
            return self.present[key]
        demand, integral = round(self.demand.get(key, 0)), self._integral.get(key, 0.0)
        ready = self.platform.ready(key)
        served = min(demand, ready * 100)
        waiting = demand - served
        queued, held = (waiting, 0) if ready else (0, waiting)
        return FunctionLoad(served, queued, held, integral, round(integral * 10), {})


class ToyGateways:
    """All of them, as the autoscaler asks them."""

    def __init__(self, *gateways: ToyGateway) -> None:
        self.gateways = gateways
        self.pulls = 0
        self.parks: list[tuple[float, FunctionKey]] = []

    async def loads(self) -> tuple[Sequence[GatewayLoad], int]:
        self.pulls += 1
        answering = [gateway for gateway in self.gateways if not gateway.silent]
        return [item.load() for item in answering], len(self.gateways) - len(answering)

    async def park(self, key: FunctionKey) -> Sequence[ParkAnswer] | None:
        self.parks.append((loop_time(), key))
        answers = [item.park(key) for item in self.gateways if not item.silent]
        return answers if len(answers) == len(self.gateways) else None

    async def settle(self, key: FunctionKey, *, scaled: bool) -> None:
        for gateway in self.gateways:
            gateway.parked.discard(key)
            gateway.settled.append((key, scaled))
