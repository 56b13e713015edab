"""`states:startExecution[.sync[:2]]`: an execution starts another one.

A child without a name is named after the task's key, and every child knows that key: starting it
again after a crash finds it again. With `.sync` the ledger tells of its end; it is also looked for
now and then. What the API refuses to start is refused here, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from torpor.expressions.values import json_text
from torpor.workflows.asl.events import Input
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import Pattern
from torpor.workflows.engine.base import Api, Job, Throttled, Unanswered
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
from torpor.workflows.request_rules import check_name
from torpor.workflows.targets import BeingDeleted, Target, find_target

_NAMES = uuid.UUID("6f2d2f0a-54cc-4f6b-8c1e-1f8a2f0f7c11")
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 30.0
"""How often the end is looked for when nothing is told."""


MOST_DEEP = 100
"""Through how many others an execution may be started: a Workflow that starts itself ends there."""

MOST_CAUSE_CHARACTERS = 32_768
"""AWS's limit for a cause (API reference, "FailureCause")."""
SHORT_CAUSE_CHARACTERS = 1_000
"""How much of a child's cause is told when with all of it the limit would be passed."""


class Refused(Exception):
    """The execution may not be started; `error` is the name of the task's failure."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(cause)
        self.error = f"StepFunctions.{error}"


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
        except Refused as refused:
            return failed(job, refused.error, str(refused))
        except BeingDeleted as error:
            return failed(job, "StepFunctions.StateMachineDeletingException", str(error))
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
        arn = _child_arn(job)
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
        """Have the execution stopped that the task started."""
        arn = _child_arn(job)
        cause = f"The task of {job.execution.arn} that waited for it is over."
        with contextlib.suppress(Unanswered):  # whoever runs it finds the stop in its inbox
            await _patiently(lambda: self._engine().stop(arn, None, cause))

    async def _start(self, job: Job) -> Execution:
        _check(job)
        try:
            return await self._start_new(job)
        except (AlreadyExists, NotFound, BeingDeleted):
            known = await self._started_before(job)
            if known is None:
                raise
            return known

    async def _start_new(self, job: Job) -> Execution:
        base, qualifier = _split(_machine_arn(job))
        chance = partial(_chance, job)
        target = await find_target(self._ledger, base, qualifier, chance)
        machine, sync = target.machine, job.dispatch.resource.action == "startSyncExecution"
        home = job.machine.options.namespace
        if machine.options.namespace != home:
            raise Refused("AccessDeniedException", f"{machine.arn} is not of the namespace {home}")
        if machine.type is MachineType.EXPRESS:
            try:
                return await self._engine().run_express(self._child(job, target), wait=sync)
            except Throttled as refused:
                raise Refused("ThrottlingException", str(refused)) from None
        if sync:
            text = (
                f"startSyncExecution runs Express state machines, {machine.arn} is a Standard one"
            )
            raise Refused("StateMachineTypeNotSupportedException", text)
        return await self._engine().start(self._child(job, target))

    async def _started_before(self, job: Job) -> Execution | None:
        """The child that this very task started before a crash, whatever its machine is now."""
        try:
            known: Execution = await self._ledger.execution(_child_arn(job))
        except NotFound:
            return None
        named = "Name" in arguments(job)
        # One without a name of its own has that of the task's key.
        mine = known.parent_task == job.key if named else known.parent_arn == job.execution.arn
        return known if mine else None

    def _child(self, job: Job, target: Target) -> Execution:
        machine, name = target.machine, _name(job)
        if machine.type is MachineType.EXPRESS:
            run = uuid.uuid5(_NAMES, job.key)
            arn = f"{machine.arn.replace(':stateMachine:', ':express:')}:{name}:{run}"
        else:
            arn = _child_arn(job)
        return Execution(
            arn,
            name,
            machine.arn,
            machine.revision_id,
            self._ledger.shard_of(arn),
            Status.RUNNING,
            _input(arguments(job).get("Input")),
            self._clock.now(),
            machine_version_arn=target.version_arn,
            alias_arn=target.alias_arn,
            parent_arn=job.execution.arn,
            trace_header=job.trace,
            parent_task=job.key,
            depth=job.execution.depth + 1,
        )


def _check(job: Job) -> None:
    """Refuse what no state machine could be started with; raises Refused."""
    if job.execution.depth >= MOST_DEEP:
        text = (
            f"{job.execution.arn} was started through {MOST_DEEP} other executions, the most that "
            "there may be: does a state machine start itself without end?"
        )
        raise Refused("ExecutionLimitExceededException", text)
    name = arguments(job).get("Name")
    if name is None:
        return
    if not isinstance(name, str):
        raise Refused("InvalidNameException", "Invalid Name: it is not a string")
    if (refusal := check_name(name)) is not None:
        raise Refused("InvalidNameException", refusal.message)


def _machine_arn(job: Job) -> str:
    return str(arguments(job).get("StateMachineArn", ""))


def _name(job: Job) -> str:
    """The child's name: as given, or one that is the same for the task, whenever asked."""
    given = arguments(job).get("Name")
    return str(uuid.uuid5(_NAMES, job.key)) if given is None else str(given)


def _chance(job: Job) -> float:
    """Where the choice of an alias falls: the same for the task, whenever asked."""
    return uuid.uuid5(_NAMES, job.key).int / 2**128


def _child_arn(job: Job) -> str:
    """The ARN of the durable execution that a task starts."""
    base, _ = _split(_machine_arn(job))
    return f"{base.replace(':stateMachine:', ':execution:')}:{_name(job)}"


async def _patiently(call: Callable[[], Awaitable[Any]]) -> Any:
    """Call again as long as the ledger is away: the task's own time-out bounds it."""
    while True:
        try:
            return await call()
        except Unanswered:
            raise
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
    return failed(job, "States.TaskFailed", _cause(described))


def _cause(described: dict[str, Any]) -> str:
    """What became of the child, as text; each level that it passes doubles a text's escapes."""
    text = json_text(described)
    if len(text) <= MOST_CAUSE_CHARACTERS:
        return text
    short = {name: value for name, value in described.items() if not name.startswith("Input")}
    short |= {"Cause": str(described.get("Cause", ""))[:SHORT_CAUSE_CHARACTERS]}
    return json_text(short)


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
