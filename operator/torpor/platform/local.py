"""The platform over local processes: the same answers as a cluster's, for `torpor dev`.

A replica is a process with a loopback port of its own. Changing a Function's code starts new
processes first and ends the old ones when the new ones listen, as a Deployment would.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals
from types import MappingProxyType

from torpor.errors import ApiConflict, ApiNotFound
from torpor.platform.base import (
    Change,
    FunctionChanged,
    Instance,
    InstancesChanged,
    Scale,
    Synced,
)
from torpor.platform.local_guardian import Guardian
from torpor.platform.local_ports import choose_port
from torpor.platform.local_process import LocalProcess
from torpor.platform.local_program import Program
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import detail_token

_KEY_BYTES = 32


@dataclass(slots=True)
class _Workload:
    """A Function's Deployment: what is wanted, and the processes that there are."""

    program: Program
    replicas: int
    version: int = 1
    load: Mapping[str, int] = field(default_factory=dict)
    processes: dict[str, LocalProcess] = field(default_factory=dict)

    def current(self) -> list[LocalProcess]:
        """Return the processes of the present revision that are to stay."""
        revision = self.program.revision
        return [p for p in self.processes.values() if not p.terminating and p.revision == revision]

    def outdated(self) -> list[LocalProcess]:
        """Return the processes of earlier revisions that still serve."""
        revision = self.program.revision
        return [p for p in self.processes.values() if not p.terminating and p.revision != revision]


class LocalPlatform:
    """Implements `Platform`; `put` and `remove` stand for applying and deleting objects."""

    def __init__(
        self,
        folder: Path,
        *,
        guardian: Guardian | None = None,
        clock: Callable[[], float] = time.monotonic,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`environment` is what processes have besides what their Functions say."""
        self.key = secrets.token_bytes(_KEY_BYTES)
        """The secret that the processes' tokens derive from, made anew for each run."""
        self._folder = folder
        self._clock = clock
        self._workloads: dict[FunctionKey, _Workload] = {}
        self._watchers: set[asyncio.Queue[Change]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._guardian = guardian or Guardian()
        self._environment = environment

    async def run(self) -> None:
        """Keep the processes running until cancelled; all of them have ended when it returns."""
        async with self._guardian.watching(), asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for key in list(self._workloads):
                self._reconcile(key)
            try:
                await asyncio.Event().wait()
            finally:  # what ends from here on is not started again
                self._tasks = None

    def put(self, program: Program) -> None:
        """Create or change a Function."""
        key = program.function.key
        workload = self._workloads.get(key)
        if workload is None:
            self._workloads[key] = _Workload(program, program.function.scaling.initial_replicas)
        else:
            workload.program = program
            workload.version += 1
        self._tell(FunctionChanged(key, program.function))
        self._reconcile(key)

    def remove(self, key: FunctionKey) -> None:
        """Delete a Function; its processes end as on a scale-in."""
        workload = self._workloads.pop(key, None)
        if workload is None:
            return
        self._tell(FunctionChanged(key, None))
        for process in workload.processes.values():
            process.stop()

    def kill(self) -> None:
        """End every process at once, whatever it does; none is started again."""
        self._tasks = None
        for workload in self._workloads.values():
            for process in workload.processes.values():
                process.kill()

    def send_signal(self, key: FunctionKey, name: str, number: Signals) -> None:
        """Send a signal to an instance's processes; nothing happens if it is gone."""
        workload = self._workloads.get(key)
        process = workload.processes.get(name) if workload else None
        if process is not None:
            process.send_signal(number)

    def instances(self, key: FunctionKey) -> tuple[Instance, ...]:
        """Return the processes of a function as they are now."""
        workload = self._workloads.get(key)
        return tuple(p.instance() for p in workload.processes.values()) if workload else ()

    async def changes(self) -> AsyncIterator[Change]:
        """Yield what exists, `Synced`, then every change."""
        queue: asyncio.Queue[Change] = asyncio.Queue()
        for change in self._everything():
            queue.put_nowait(change)
        self._watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._watchers.discard(queue)

    async def scale(self, key: FunctionKey) -> Scale:
        """Return the current scale; ApiNotFound for an unknown function."""
        workload = self._workload(key)
        return Scale(workload.replicas, str(workload.version))

    async def set_scale(
        self, key: FunctionKey, replicas: int, *, manager: str, version: str | None = None
    ) -> Scale:
        """Ask for `replicas`; ApiConflict if `version` is not the present one."""
        workload = self._workload(key)
        if version is not None and version != str(workload.version):
            raise ApiConflict(
                409,
                "Conflict",
                f"{manager} read version {version} of {key}, it is {workload.version} now",
            )
        if replicas != workload.replicas:
            workload.replicas = replicas
            workload.version += 1
            self._reconcile(key)
        return Scale(workload.replicas, str(workload.version))

    async def prefer_removal(self, key: FunctionKey, load: Mapping[str, int]) -> None:
        """Remember the load of each process for the next scale-in."""
        self._workload(key).load = dict(load)

    def _workload(self, key: FunctionKey) -> _Workload:
        try:
            return self._workloads[key]
        except KeyError:
            raise ApiNotFound(404, "NotFound", f"no function {key}") from None

    def _everything(self) -> Iterator[Change]:
        for key, workload in self._workloads.items():
            yield FunctionChanged(key, workload.program.function)
            yield InstancesChanged(key, self.instances(key))
        yield Synced()

    def _tell(self, change: Change) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)

    def _reconcile(self, key: FunctionKey) -> None:
        workload = self._workloads.get(key)
        if workload is None or self._tasks is None:
            return
        current = workload.current()
        for _ in range(workload.replicas - len(current)):
            self._start(workload, self._tasks)
        for process in _surplus(current, workload):
            process.stop()
        if sum(process.ready for process in current) >= workload.replicas:
            for process in workload.outdated():
                process.stop()

    def _start(self, workload: _Workload, tasks: asyncio.TaskGroup) -> None:
        key = workload.program.function.key
        process = LocalProcess(
            workload.program,
            f"{key.name}-{secrets.token_hex(3)}",
            self._folder / key.namespace / key.name,
            detail_token=detail_token(self.key, key),
            choose_port=self._choose_port,
            guardian=self._guardian,
            changed=lambda: self._changed(key, workload),
            clock=self._clock,
            environment=self._environment,
        )
        workload.processes[process.name] = process
        tasks.create_task(self._attend(key, workload, process), name=f"process {process.name}")

    async def _attend(self, key: FunctionKey, workload: _Workload, process: LocalProcess) -> None:
        try:
            await process.run()
        finally:
            del workload.processes[process.name]
            self._changed(key, workload)

    def _changed(self, key: FunctionKey, workload: _Workload) -> None:
        self._tell(InstancesChanged(key, tuple(p.instance() for p in workload.processes.values())))
        self._reconcile(key)

    def _choose_port(self) -> int:
        return choose_port({p.port for w in self._workloads.values() for p in w.processes.values()})


def _surplus(current: list[LocalProcess], workload: _Workload) -> list[LocalProcess]:
    """Return what to end on a scale-in: what is not ready first, then what carries least."""
    count = len(current) - workload.replicas
    if count <= 0:
        return []
    return sorted(current, key=lambda p: (p.ready, workload.load.get(p.name, 0)))[:count]
