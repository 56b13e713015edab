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

from torpor.telemetry.tracing import Emit
from torpor.workflows.asl.events import (
    HeartbeatMissed,
    Input,
    TimedOut,
    TimerFired,
)
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Integration, Items
from torpor.workflows.engine.concurrency import Admission, ExpressAdmission
from torpor.workflows.engine.dispatching import Dispatcher
from torpor.workflows.engine.driving import Driver
from torpor.workflows.engine.effects import Effects
from torpor.workflows.engine.execution_calls import ExecutionCalls
from torpor.workflows.engine.express import Express
from torpor.workflows.engine.heartbeats import Heartbeats
from torpor.workflows.engine.inbox import Inbox
from torpor.workflows.engine.keeping import Keeper, Parts
from torpor.workflows.engine.nested import Followers
from torpor.workflows.engine.ownership import Ownership
from torpor.workflows.engine.programs import Programs
from torpor.workflows.engine.resident import Resident
from torpor.workflows.engine.residents import Residents
from torpor.workflows.engine.spans import Spans
from torpor.workflows.engine.task_calls import TaskCalls
from torpor.workflows.engine.timers import Alarm, Kind, Timers
from torpor.workflows.engine.tokens import TaskTokens
from torpor.workflows.engine.world import Clock, WallClock
from torpor.workflows.ledger.base import Ledger, LedgerAway, LedgerError, Owned
from torpor.workflows.records import Execution

log = logging.getLogger(__name__)

_REVIVE_SECONDS = 5.0
_AWAY_PAUSE_SECONDS = 0.5
_REFUSED_PAUSE_SECONDS = 60.0


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
        emit: Emit | None = None,
    ) -> None:
        self._ledger = ledger
        self._options = options
        self._clock = clock or WallClock()
        self._random = random or Random()  # noqa: S311 - names and jitter, guards nothing
        self._tokens = TaskTokens(token_key)
        self._emit = emit
        self._group: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self._residents = Residents()
        self._timers = Timers(self._clock)
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
        heartbeats = Heartbeats(self._timers, self._clock)
        programs = Programs(self._ledger)
        effects = Effects(
            self._dispatcher,
            self._ledger,
            integrations,
            items,
            self._tokens,
            Followers(self._spawn),
            self._deliver,
        )
        self._admission = Admission(self._ledger, self._spawn)
        express = ExpressAdmission(lambda: self._ownership.engines)
        parts = Parts(
            self._residents,
            self._timers,
            heartbeats,
            self._admission,
            express,
            effects,
            self._tokens,
            self._clock,
            self._random,
            self._options.most_residents,
            None if self._emit is None else Spans(self._emit, self._ledger, self._spawn),
        )
        self._keeper = Keeper(parts, self._deliver, self._revive, self._consumed)
        self._driver = Driver(self._ledger, self._spawn, self._keeper, self._ownership.fenced)
        self._inbox = Inbox(
            self._ledger,
            self._ownership,
            self._residents,
            programs,
            self._keeper,
            self._driver,
        )
        self._execution_calls = ExecutionCalls(
            self._ledger, self._inbox, Express(programs, self._keeper), self._clock
        )
        self._task_calls = TaskCalls(
            self._ledger, self._residents, self._inbox, heartbeats, self._tokens
        )

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
        self._admission.stop()
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
                await asyncio.sleep(_AWAY_PAUSE_SECONDS)
            except LedgerError:
                log.exception("the ledger could not be read")
                await asyncio.sleep(_REFUSED_PAUSE_SECONDS)

    # --- executions ---------------------------------------------------------------------------
    async def start(self, execution: Execution) -> Execution:
        """Start a durable execution; returns when it is durable, not when it is over."""
        return await self._execution_calls.start(execution)

    async def run_express(self, execution: Execution, *, wait: bool) -> Execution:
        """Run an express execution in memory; with `wait` returns its end, else at once."""
        return await self._execution_calls.run_express(execution, wait=wait)

    async def stop(self, arn: str, error: str | None, cause: str | None) -> float:
        """Stop an execution; returns the time of its end."""
        return await self._execution_calls.stop(arn, error, cause)

    async def redrive(self, arn: str) -> float:
        """Run the failed states of an ended execution again; raises NotRedrivable."""
        return await self._execution_calls.redrive(arn)

    # --- tasks --------------------------------------------------------------------------------
    async def succeed(self, token: str, output: Payload) -> None:
        """SendTaskSuccess: durable when it returns."""
        await self._task_calls.succeed(token, output)

    async def fail(self, token: str, error: str | None, cause: str | None) -> None:
        """SendTaskFailure: durable when it returns."""
        await self._task_calls.fail(token, error, cause)

    async def heartbeat(self, token: str) -> None:
        """SendTaskHeartbeat."""
        await self._task_calls.heartbeat(token)

    async def poll_activity(
        self, arn: str, worker: str | None, wait_seconds: float
    ) -> tuple[str, Payload] | None:
        """GetActivityTask: the next task's token and input; None when none came in time."""
        return await self._task_calls.poll_activity(arn, worker, wait_seconds)
