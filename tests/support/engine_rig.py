"""An engine with an in-memory ledger and tasks that are Python functions."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from tests.support.memory_ledger import MemoryLedger
from torpor.workflows.asl.events import Input, TaskFailed, TaskSubmitted, TaskSucceeded
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.engine.base import Integration, Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.records import Execution, Machine, MachineType, Options

PREFIX = "arn:aws:states:us-east-1:123456789012"
KEY = b"k" * 32
NO_OPTIONS = Options()
Handler = Callable[[Job], Awaitable[Any]]


class LoopClock:
    """Wall-clock time that follows the event loop's, also a virtual one's, on any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return 1_700_000_000.0 + self._loop.time()


@dataclass
class Tasks:
    """Answers lambda tasks with handlers by function name, and notes the calls."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    calls: list[Job] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def run(self, job: Job) -> Input | None:
        self.calls.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._answer(job)
        finally:
            self.running -= 1

    async def _answer(self, job: Job) -> Input:
        dispatch = job.dispatch
        name = dispatch.resource.name or dispatch.argument.value["FunctionName"]
        try:
            output = Payload(await self.handlers[name](job))
        except Fault as failure:
            return TaskFailed(dispatch.frame, dispatch.ticket, failure.error, failure.cause)
        if dispatch.resource.pattern is Pattern.TASK_TOKEN:
            return TaskSubmitted(dispatch.frame, dispatch.ticket, output)
        return TaskSucceeded(dispatch.frame, dispatch.ticket, output)


class NoItems:
    """An object store without objects."""

    async def read(self, machine: Machine, request: Any) -> list[Any]:
        raise Fault("States.ItemReaderFailed", "no store")

    async def write(self, machine: Machine, request: Any) -> Payload:
        raise Fault("States.ResultWriterFailed", "no store")


@dataclass
class Rig:
    """One engine at work."""

    ledger: MemoryLedger
    engine: Engine
    tasks: Tasks
    engine_integrations: dict[str, Integration] = field(default_factory=dict)
    count: int = 0

    async def machine(
        self,
        definition: Mapping[str, Any],
        name: str = "m",
        kind: MachineType = MachineType.STANDARD,
        options: Options = NO_OPTIONS,
    ) -> Machine:
        machine = make_machine(definition, name, kind, options)
        return await self.ledger.put_machine(machine)

    async def start(self, machine: Machine, input: Any = None, name: str = "") -> Execution:
        self.count += 1
        return await self.engine.start(make_execution(machine, input, name or f"e{self.count}"))

    async def end(
        self, execution: Execution, seconds: float = 60.0, pause: float = 0.01
    ) -> Execution:
        """The execution as it ended."""
        async with asyncio.timeout(seconds):
            while True:
                now = await self.ledger.execution(execution.arn)
                if now.status is not Status.RUNNING:
                    return now
                await asyncio.sleep(pause)

    async def run(self, definition: Mapping[str, Any], input: Any = None) -> Execution:
        """Start an execution and wait for its end."""
        return await self.end(await self.start(await self.machine(definition), input))

    async def until(self, true: Callable[[], Any], seconds: float = 30.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def make_machine(
    definition: Mapping[str, Any],
    name: str = "m",
    kind: MachineType = MachineType.STANDARD,
    options: Options = NO_OPTIONS,
) -> Machine:
    text = json.dumps(definition)
    arn = f"{PREFIX}:stateMachine:{name}"
    revision = f"{zlib.crc32(text.encode()):x}"
    return Machine(
        arn, name, kind, text, "arn:aws:iam::1:role/r", 0.0, 0.0, revision, options=options
    )


def make_execution(machine: Machine, input: Any, name: str, now: float | None = None) -> Execution:
    kind = "express" if machine.type is MachineType.EXPRESS else "execution"
    payload = Payload({} if input is None else input)
    started = LoopClock().now() if now is None else now
    arn = f"{PREFIX}:{kind}:{machine.name}:{name}"
    return Execution(
        arn, name, machine.arn, machine.revision_id, 0, Status.RUNNING, payload, started
    )


def make_engine(
    ledger: MemoryLedger,
    integrations: Mapping[str, Integration],
    owner: str = "one",
    **options: Any,
) -> Engine:
    chosen = EngineOptions(owner, **options)
    return Engine(
        cast(Ledger, ledger), integrations, NoItems(), KEY, chosen, LoopClock(), Random(1)
    )


@asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Engine]:
    """The engine at work; it leaves in order at the end."""
    task = asyncio.create_task(engine.run(), name="engine")
    try:
        while not engine.shards and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        yield engine
    finally:
        engine.stop_running()
        await asyncio.wait_for(task, 30)


@asynccontextmanager
async def rig(
    handlers: Mapping[str, Handler] | None = None,
    ledger: MemoryLedger | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """An engine with a ledger of its own."""
    tasks = Tasks(dict(handlers or {}))
    ledger = ledger or MemoryLedger()
    integrations: dict[str, Integration] = {"lambda": tasks}
    engine = make_engine(ledger, integrations, **options)
    async with running(engine):
        yield Rig(ledger, engine, tasks, integrations)
