"""`states:startExecution[.sync[:2]]`: an execution starts another one.

A child without a name is named after the task's key, so starting it again after a crash finds it
again. With `.sync` its end is looked for with a growing pause.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
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
from torpor.workflows.records import Execution, MachineType

_NAMES = uuid.UUID("6f2d2f0a-54cc-4f6b-8c1e-1f8a2f0f7c11")
_FIRST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 10.0


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
        pause = _FIRST_LOOK_SECONDS
        while True:
            child = await _patiently(lambda: self._ledger.execution(arn))
            if child.status is not Status.RUNNING:
                return _end(job, child)
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_LOOK_SECONDS)

    async def abandon(self, job: Job) -> None:
        """Stop the execution that the task started."""
        arn = await _patiently(lambda: self._child_arn(job))
        cause = f"The task of {job.execution.arn} that waited for it is over."
        await _patiently(lambda: self._engine().stop(arn, None, cause))

    async def _start(self, job: Job) -> Execution:
        machine, child = await self._child(job)
        if machine is MachineType.EXPRESS:
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

    async def _child(self, job: Job) -> tuple[MachineType, Execution]:
        given = arguments(job)
        asked = str(given.get("StateMachineArn", ""))
        base, qualifier = _split(asked)
        machine = await self._ledger.machine(base)
        revision, version = machine.revision_id, None
        if qualifier is not None:
            found = await self._ledger.version(asked)
            revision, version = found.revision_id, found.arn
        name = given.get("Name")
        name = name if isinstance(name, str) else str(uuid.uuid5(_NAMES, job.key))
        if machine.type is MachineType.EXPRESS:
            run = uuid.uuid5(_NAMES, job.key)
            arn = f"{base.replace(':stateMachine:', ':express:')}:{name}:{run}"
        else:
            arn = f"{base.replace(':stateMachine:', ':execution:')}:{name}"
        return machine.type, Execution(
            arn,
            name,
            base,
            revision,
            self._ledger.shard_of(arn),
            Status.RUNNING,
            _input(given.get("Input")),
            self._clock.now(),
            machine_version_arn=version,
            parent_arn=job.execution.arn,
            trace_header=job.execution.trace_header,
        )


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again as long as the ledger is away: the task's own time-out bounds it."""
    while True:
        try:
            return await call()
        except LedgerAway:
            await asyncio.sleep(_FIRST_LOOK_SECONDS * 10)


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
