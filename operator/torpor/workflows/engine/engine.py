"""The engine: runs the executions of its shards, and serves the calls of the API for all.

Any engine takes any call: what concerns an execution of another engine goes through the ledger.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from torpor.workflows.asl.events import (
    HeartbeatMissed,
    HeartbeatSeen,
    Input,
    Redrive,
    Stop,
    TaskFailed,
    TaskSucceeded,
    TimedOut,
    TimerFired,
)
from torpor.workflows.asl.frontier import Frontier, Phase, Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.activities import Activities
from torpor.workflows.engine.base import Integration, Items, NotRedrivable, TaskGone
from torpor.workflows.engine.concurrency import Admission, ExpressAdmission
from torpor.workflows.engine.dispatching import Dispatcher
from torpor.workflows.engine.driving import Driver
from torpor.workflows.engine.effects import Effects
from torpor.workflows.engine.express import Express
from torpor.workflows.engine.heartbeats import Heartbeats
from torpor.workflows.engine.inbox import Inbox
from torpor.workflows.engine.keeping import Keeper, Parts
from torpor.workflows.engine.nested import Followers
from torpor.workflows.engine.ownership import Ownership
from torpor.workflows.engine.programs import Programs
from torpor.workflows.engine.resident import Resident, is_waiting
from torpor.workflows.engine.residents import Residents
from torpor.workflows.engine.timers import Alarm, Kind, Timers
from torpor.workflows.engine.tokens import TaskRef, TaskTokens
from torpor.workflows.engine.world import Clock, WallClock
from torpor.workflows.ledger.base import Fenced, Ledger, LedgerAway, NotFound, Owned
from torpor.workflows.records import Execution

log = logging.getLogger(__name__)

_REVIVE_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
"""How long a call waits for another engine to do what was posted."""
_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine runs.

    `owner` is its name among the engines, unique to the process. Tasks in flight may go on for
    `drain_seconds` when it leaves.
    """

    owner: str
    lease_seconds: float = 5.0
    most_tasks: int = 1_000
    most_residents: int = 20_000
    drain_seconds: float = 5.0


class Engine:
    """One process's engine. `run()` owns and drives; the other methods are the `Api`."""

    def __init__(
        self,
        ledger: Ledger,
        integrations: Mapping[str, Integration],
        items: Items,
        token_key: bytes,
        options: EngineOptions,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self._ledger = ledger
        self._options = options
        self._clock = clock or WallClock()
        self._random = random or Random()  # noqa: S311 - names and jitter, guards nothing
        self._tokens = TaskTokens(token_key)
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._residents = Residents()
        self._timers = Timers(self._clock)
        self._activities = Activities(ledger)
        self._dispatcher = Dispatcher(self._spawn, options.most_tasks)
        self._build(integrations, items)

    def _build(self, integrations: Mapping[str, Integration], items: Items) -> None:
        self._ownership = Ownership(
            self._ledger,
            self._options.owner,
            self._options.lease_seconds,
            self._taken,
            self._lost,
            self._busy_shards,
        )
        self._heartbeats = Heartbeats(self._timers, self._clock)
        self._programs = Programs(self._ledger)
        effects = Effects(
            self._dispatcher,
            self._ledger,
            integrations,
            items,
            self._tokens,
            Followers(self._spawn),
            self._deliver,
        )
        admission = Admission(self._ledger, self._spawn)
        express = ExpressAdmission(lambda: self._ownership.engines)
        parts = Parts(
            self._residents,
            self._timers,
            self._heartbeats,
            admission,
            express,
            effects,
            self._tokens,
            self._clock,
            self._random,
            self._options.most_residents,
        )
        self._keeper = Keeper(parts, self._deliver, self._revive, self._consumed)
        self._driver = Driver(self._ledger, self._spawn, self._keeper, self._ownership.fenced)
        self._inbox = Inbox(
            self._ledger,
            self._ownership,
            self._residents,
            self._programs,
            self._keeper,
            self._driver,
        )
        self._express = Express(self._programs, self._keeper)

    # --- the process --------------------------------------------------------------------------
    async def run(self) -> None:
        """Own shards and drive their executions until `stop_running()`; then give all up."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            own = [
                group.create_task(self._timers.run(self._ring), name="timers"),
                group.create_task(self._ownership.run(), name="ownership"),
                group.create_task(self._inbox.run(), name="inbox"),
            ]
            await self._stopping.wait()
            self._dispatcher.stop()
            await self._drain()
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)
            await self._leave()

    def stop_running(self) -> None:
        """Let `run` come to its end."""
        self._stopping.set()

    def problem(self) -> str | None:
        """Why this engine cannot serve now, None when it can (for readiness)."""
        if self._stopping.is_set():
            return "the engine is stopping"
        return self._ownership.away

    @property
    def residents(self) -> int:
        """Executions in memory."""
        return len(self._residents)

    @property
    def shards(self) -> int:
        """Shards owned."""
        return len(self._ownership.owned)

    async def _drain(self) -> None:
        """Give tasks in flight a moment to end: others would have to do them again."""
        try:
            async with asyncio.timeout(self._options.drain_seconds):
                await self._dispatcher.drained()
        except TimeoutError:
            log.info("tasks left", extra={"fields": {"tasks": self._dispatcher.in_flight}})

    async def _leave(self) -> None:
        try:
            await self._ownership.release()
        except LedgerAway as error:
            log.warning("leases run out by themselves", extra={"fields": {"problem": str(error)}})
        for resident in self._residents:
            self._keeper.dropped(resident)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        assert self._group is not None, "the engine runs"
        return self._group.create_task(work, name=name)

    def _busy_shards(self) -> set[int]:
        return {self._ledger.shard_of(arn) for arn in self._dispatcher.executions}

    async def _taken(self, owned: Sequence[Owned]) -> None:
        await self._inbox.load(owned)

    def _lost(self, owned: Owned) -> None:
        self._keeper.lost(owned.shard)
        self._inbox.lost(owned.shard)

    def _deliver(self, resident: Resident, event: Input) -> None:
        self._driver.deliver(resident, event)

    def _consumed(self, ids: Sequence[int]) -> None:
        self._inbox.consumed(ids)

    def _revive(self, owned: Owned, arn: str) -> None:
        self._inbox.lost(owned.shard)
        _ = self._spawn(self._revived(arn), f"revive {arn}")

    async def _revived(self, arn: str) -> None:
        await asyncio.sleep(_REVIVE_SECONDS)
        await self._when_back(lambda: self._inbox.revive(arn))

    def _ring(self, alarm: Alarm) -> None:
        event: Input
        match alarm.kind:
            case Kind.FRAME:
                event = TimerFired(alarm.frame, alarm.ticket)
            case Kind.HEARTBEAT:
                event = HeartbeatMissed(alarm.frame, alarm.ticket)
            case Kind.DEADLINE:
                event = TimedOut()
        resident = self._residents.get(alarm.execution_arn)
        if resident is not None:
            self._driver.deliver(resident, event)
            return
        arn = alarm.execution_arn
        _ = self._spawn(self._when_back(lambda: self._inbox.wake(arn, event)), f"wake {arn}")

    async def _when_back(self, do: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do something that needs the ledger, as soon as there is one."""
        while not self._stopping.is_set():
            try:
                await do()
                return
            except LedgerAway:
                await asyncio.sleep(_LONGEST_LOOK_SECONDS)

    # --- executions ---------------------------------------------------------------------------
    async def start(self, execution: Execution) -> Execution:
        """Start a durable execution; returns when it is durable, not when it is over."""
        return await self._ledger.insert(execution)

    async def run_express(self, execution: Execution, *, wait: bool) -> Execution:
        """Run an express execution in memory; with `wait` returns its end, else at once."""
        return await self._express.run(execution, wait=wait)

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        """Stop an execution; returns the time of its end."""
        execution = await self._ledger.execution(arn)
        if execution.status is not Status.RUNNING:
            return execution.stopped_at or self._clock.now()
        await self._tell(arn, Stop(error, cause))
        ended = await self._until(arn, lambda now: now.status is not Status.RUNNING)
        return ended.stopped_at or self._clock.now()

    async def redrive(self, arn: str) -> float:
        """Run the failed states of an ended execution again; raises NotRedrivable."""
        execution = await self._ledger.execution(arn)
        if execution.status in (Status.RUNNING, Status.SUCCEEDED):
            raise NotRedrivable(f"{arn} is {execution.status.value}")
        count = execution.redrive_count
        await self._ledger.post(arn, Redrive())
        redriven = await self._until(arn, lambda now: now.redrive_count > count)
        return redriven.redriven_at or self._clock.now()

    # --- tasks --------------------------------------------------------------------------------
    async def succeed(self, token: str, output: Payload) -> None:
        """SendTaskSuccess: durable when it returns."""
        task, _ = await self._called(token)
        await self._tell(task.execution_arn, TaskSucceeded(task.frame, task.ticket, output))

    async def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure: durable when it returns."""
        task, _ = await self._called(token)
        await self._tell(task.execution_arn, TaskFailed(task.frame, task.ticket, error, cause))

    async def heartbeat(self, token: str) -> None:
        """SendTaskHeartbeat."""
        task, frontier = await self._called(token)
        frame = frontier.frames[task.frame]
        if self._residents.get(task.execution_arn) is not None:
            self._heartbeats.expect(task.execution_arn, frame)
        elif frame.heartbeat and self._heartbeats.worth_passing_on(task, frame.heartbeat):
            await self._ledger.post(task.execution_arn, HeartbeatSeen(task.frame, task.ticket))

    async def poll_activity(
        self, arn: str, worker: str | None, wait_seconds: float
    ) -> tuple[str, Payload] | None:
        """GetActivityTask: the next task's token and input; None when none came in time."""
        deadline = asyncio.get_running_loop().time() + wait_seconds
        while True:
            taken = await self._activities.wait(arn, worker, deadline)
            if taken is None:
                return None
            task = TaskRef(taken.execution_arn, taken.frame, taken.ticket)
            started_at = await self._heard_of(task)
            if started_at is not None:
                return self._tokens.issue(task, started_at), taken.input

    async def _heard_of(self, task: TaskRef) -> float | None:
        """When the execution started that waits for a task which a worker took; None: none does.

        It is asked until it has heard of the worker.

        What the worker answers must come after it. An execution that does not hear of it in time
        finds it in its inbox before the answer.
        """
        started_at: float | None = None
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _ANSWER_SECONDS, _FIRST_LOOK_SECONDS / 4
        while True:
            try:
                frontier = await self._waiting(task)
                started_at = frontier.identity.started_at
                heard = frontier.frames[task.frame].phase is Phase.TOKEN
            except (TaskGone, NotFound):
                return None
            except LedgerAway:
                heard = False
                if loop.time() >= deadline and started_at is None:
                    raise
            if heard or loop.time() >= deadline:
                return started_at
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)

    async def _called(self, token: str) -> tuple[TaskRef, Frontier]:
        """The task of a token and the frontier that waits for it; TaskRefused, TaskGone."""
        called = self._tokens.read(token)
        frontier = await self._waiting(called.task)
        if frontier.identity.started_at != called.started_at:
            raise TaskGone("Task Timed Out: its execution is over, another one has its name")
        return called.task, frontier

    async def _waiting(self, task: TaskRef) -> Frontier:
        """The frontier that waits for this task; raises TaskGone when none does."""
        resident = self._residents.get(task.execution_arn)
        if resident is not None:
            frontier: Frontier | None = resident.frontier
        else:
            frontier = (await self._ledger.load_one(task.execution_arn)).frontier
        if frontier is None or not is_waiting(frontier, task):
            raise TaskGone("Task Timed Out: nobody waits for this task any more")
        return frontier

    async def _tell(self, arn: str, event: Input) -> None:
        """Have an event taken in, here or by the engine that owns the execution; durable."""
        resident = self._residents.get(arn)
        if resident is not None:
            try:
                await self._driver.settle(resident, event)
                return
            except Fenced:
                log.info("an event goes to the new owner", extra={"fields": {"execution": arn}})
        await self._ledger.post(arn, event)

    async def _until(self, arn: str, over: Callable[[Execution], bool]) -> Execution:
        """The execution once it is as expected, or as it is when that takes too long."""
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + _ANSWER_SECONDS, _FIRST_LOOK_SECONDS
        while True:
            execution = await self._ledger.execution(arn)
            if over(execution) or loop.time() >= deadline:
                return execution
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK_SECONDS)
