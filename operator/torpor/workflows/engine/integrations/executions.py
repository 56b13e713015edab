"""`states:startExecution[.sync[:2]]`: an execution starts another one.

A child without a name is named after the task's key, so starting it again after a crash finds it
again. With `.sync` the ledger tells of its end; it is also looked for now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from torpor.workflows.asl.events import Input
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload, json_text
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.engine.base import Api, Job
from torpor.workflows.engine.integrations.outcomes import (
    answered,
    arguments,
    failed,
    metadata,
    succeeded,
)
from torpor.workflows.engine.world import Clock
from torpor.workflows.ledger.base import AlreadyExists, Ledger, LedgerAway, NotFound
from torpor.workflows.records import Execution, Machine, MachineType

_NAMES = uuid.UUID("6f2d2f0a-54cc-4f6b-8c1e-1f8a2f0f7c11")
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 30.0
"""How often the end is looked for when nothing is told."""


class Foreign(Exception):
    """The state machine is of another namespace, whose Workflows are not this one's to start."""


class Executions:
    """Starts nested executions, and follows and stops those of `.sync` tasks."""

    def __init__(self, ledger: Ledger, engine: Callable[[], Api], clock: Clock) -> None:
        self._ledger = ledger
        self._engine = engine
        self._clock = clock

    async def run(self, job: Job) -> Input | None:
        """Start the execution that the arguments ask for."""
        if job.dispatch.resource.action not in ("startExecution", "startSyncExecution"):
            action = job.dispatch.resource.action
            return failed(job, "States.TaskFailed", f"states:{action} is not supported.")
        try:
            child = await _patiently(lambda: self._start(job))
        except Foreign as error:
            return failed(job, "StepFunctions.AccessDeniedException", str(error))
        except NotFound as error:
            return failed(job, "StepFunctions.StateMachineDoesNotExistException", str(error))
        except AlreadyExists as error:
            return failed(job, "StepFunctions.ExecutionAlreadyExistsException", str(error))
        if child.status is not Status.RUNNING and _is_express(child):
            return _end(job, child)
        started = {
            "ExecutionArn": child.arn,
            **metadata(str(uuid.uuid5(_NAMES, job.key))),
            "StartDate": int(child.started_at * 1000),
        }
        return answered(job, started)

    async def follow(self, job: Job) -> Input:
        """Wait for the end of the execution that the task started."""
        arn = await _patiently(lambda: self._child_arn(job))
        with self._ledger.news(arn) as news:
            while True:
                news.clear()
                child = await _patiently(lambda: self._ledger.execution(arn))
                if child.status is not Status.RUNNING:
                    return _end(job, child)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await news.wait()

    async def abandon(self, job: Job) -> None:
        """Stop the execution that the task started."""
        arn = await _patiently(lambda: self._child_arn(job))
        cause = f"The task of {job.execution.arn} that waited for it is over."
        await _patiently(lambda: self._engine().stop(arn, None, cause))

    async def _start(self, job: Job) -> Execution:
        machine, child = await self._child(job)
        home = job.machine.options.namespace
        if machine.options.namespace != home:
            raise Foreign(f"{machine.arn} is not of the namespace {home}")
        if machine.type is MachineType.EXPRESS:
            wait = job.dispatch.resource.action == "startSyncExecution"
            return await self._engine().run_express(child, wait=wait)
        try:
            return await self._engine().start(child)
        except AlreadyExists:
            known = await self._ledger.execution(child.arn)
            if "Name" in arguments(job) or known.parent_arn != child.parent_arn:
                raise
            return known

    async def _child_arn(self, job: Job) -> str:
        return (await self._child(job))[1].arn

    async def _child(self, job: Job) -> tuple[Machine, Execution]:
        given = arguments(job)
        base, qualifier = _split(str(given.get("StateMachineArn", "")))
        machine = await self._ledger.machine(base)
        target = await self._target(job, machine, qualifier)
        name = given.get("Name")
        name = name if isinstance(name, str) else str(uuid.uuid5(_NAMES, job.key))
        if machine.type is MachineType.EXPRESS:
            run = uuid.uuid5(_NAMES, job.key)
            arn = f"{base.replace(':stateMachine:', ':express:')}:{name}:{run}"
        else:
            arn = f"{base.replace(':stateMachine:', ':execution:')}:{name}"
        return machine, Execution(
            arn,
            name,
            base,
            target.revision_id,
            self._ledger.shard_of(arn),
            Status.RUNNING,
            _input(given.get("Input")),
            self._clock.now(),
            machine_version_arn=target.version_arn,
            alias_arn=target.alias_arn,
            parent_arn=job.execution.arn,
            trace_header=job.trace,
        )

    async def _target(self, job: Job, machine: Machine, qualifier: str | None) -> _Target:
        """What a machine's ARN means with this qualifier: the same for the task, whenever asked."""
        if qualifier is None:
            return _Target(machine.revision_id)
        asked, alias_arn = f"{machine.arn}:{qualifier}", None
        if not qualifier.isdecimal():
            alias = await self._ledger.alias(asked)
            chance = uuid.uuid5(_NAMES, job.key).int / 2**128
            asked, alias_arn = alias.pick(chance), alias.arn
        version = await self._ledger.version(asked)
        return _Target(version.revision_id, version.arn, alias_arn)


@dataclass(frozen=True, slots=True)
class _Target:
    """The revision to run, and the version and alias that led to it."""

    revision_id: str
    version_arn: str | None = None
    alias_arn: str | None = None


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again as long as the ledger is away: the task's own time-out bounds it."""
    while True:
        try:
            return await call()
        except LedgerAway:
            await asyncio.sleep(_PAUSE_SECONDS)


def _split(arn: str) -> tuple[str, str | None]:
    parts = arn.split(":")
    return (arn, None) if len(parts) < 8 else (":".join(parts[:7]), parts[7])


def _input(value: Any) -> Payload:
    if value is None:
        return Payload({})
    if isinstance(value, str):
        try:
            return Payload(orjson.loads(value))
        except ValueError:
            return Payload(value)
    return Payload(value)


def _is_express(child: Execution) -> bool:
    return ":express:" in child.arn


def _end(job: Job, child: Execution) -> Input:
    described = _described(child, as_json=job.dispatch.resource.pattern is Pattern.SYNC_JSON)
    if child.status is Status.SUCCEEDED:
        return succeeded(job, described)
    return failed(job, "States.TaskFailed", json_text(described))


def _described(child: Execution, *, as_json: bool) -> dict[str, Any]:
    """What DescribeExecution tells, in the case of the integration; payloads as text or JSON."""
    told: dict[str, Any] = {
        "ExecutionArn": child.arn,
        "Input": child.input.value if as_json else child.input.text,
        "InputDetails": {"Included": True},
        "Name": child.name,
        "RedriveCount": child.redrive_count,
        "StartDate": int(child.started_at * 1000),
        "StateMachineArn": child.machine_arn,
        "Status": child.status.value,
        "StopDate": int((child.stopped_at or child.started_at) * 1000),
    }
    if child.output is not None:
        told["Output"] = child.output.value if as_json else child.output.text
        told["OutputDetails"] = {"Included": True}
    if child.error is not None:
        told["Error"] = child.error
    if child.cause is not None:
        told["Cause"] = child.cause
    return told
