"""Executions that start others: what is refused, what is found again, and what is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine_rig import (
    LoopClock,
    Rig,
    make_engine,
    make_execution,
    make_machine,
    rig,
)
from tests.support.memory_ledger import MemoryLedger
from torpor.workflows.asl.events import Dispatch, Input, TaskFailed
from torpor.workflows.asl.frontier import Status
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.resource import parse_resource
from torpor.workflows.engine import execution_calls
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.integrations.executions import MOST_DEEP, Executions
from torpor.workflows.records import Machine, MachineStatus, MachineType

PASS = {"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}}
WAIT = {"StartAt": "w", "States": {"w": {"Type": "Wait", "Seconds": 600, "End": True}}}
SYNC = "startExecution.sync:2"


@asynccontextmanager
async def nesting() -> AsyncIterator[tuple[Rig, Executions]]:
    async with rig() as it:
        ledger: Any = it.ledger
        executions = Executions(ledger, lambda: it.engine, LoopClock())
        it.engine_integrations["states"] = executions
        yield it, executions


def a_task(
    parent: Machine, arguments: dict[str, Any], action: str = SYNC, ticket: int = 7, depth: int = 0
) -> Job:
    """A task of an execution that starts another one."""
    execution = replace(make_execution(parent, {}, "parent"), depth=depth)
    resource = parse_resource(f"arn:aws:states:::states:{action}")
    assert resource is not None
    dispatch = Dispatch(0, ticket, resource, Payload(arguments), None, None)
    return Job(execution, parent, "s", dispatch, f"{execution.arn}/0/{ticket}", "token", None)


def starts(arn: str) -> dict[str, Any]:
    """A definition whose only state starts an execution of a state machine and waits for it."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": arn},
        "End": True,
    }
    return {"StartAt": "s", "States": {"s": task}}


def error_of(outcome: Input | None) -> str | None:
    return outcome.error if isinstance(outcome, TaskFailed) else None


@pytest.mark.parametrize("name", ["", "a:b c*", "x" * 81, 5, "line\nbreak", "nul\0"])
async def test_a_name_that_the_api_refuses_is_refused(name: Any) -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        job = a_task(child, {"StateMachineArn": child.arn, "Name": name})
        assert error_of(await executions.run(job)) == "StepFunctions.InvalidNameException"
        assert not it.ledger.arns("child")


async def test_a_standard_state_machine_is_not_run_synchronously() -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        job = a_task(child, {"StateMachineArn": child.arn}, "startSyncExecution")
        error = error_of(await executions.run(job))
        assert error == "StepFunctions.StateMachineTypeNotSupportedException"
        assert not it.ledger.arns("child")


@pytest.mark.parametrize("kind", list(MachineType))
async def test_a_machine_that_is_being_deleted_starts_nothing(kind: MachineType) -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child", kind)
        await it.ledger.put_machine(replace(child, status=MachineStatus.DELETING))
        outcome = await executions.run(a_task(child, {"StateMachineArn": child.arn}))
        assert error_of(outcome) == "StepFunctions.StateMachineDeletingException"
        assert not it.ledger.arns("child")


@pytest.mark.parametrize("name", [{}, {"Name": "fixed"}])
async def test_a_task_finds_the_execution_again_that_it_started(name: dict[str, str]) -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        arguments = {"StateMachineArn": child.arn, **name}
        first = await executions.run(a_task(child, arguments))
        [arn] = it.ledger.arns("child")
        assert (await it.end(await it.ledger.execution(arn))).status is Status.SUCCEEDED
        assert await executions.run(a_task(child, arguments)) == first
        await it.ledger.put_machine(replace(child, status=MachineStatus.DELETING))
        assert await executions.run(a_task(child, arguments)) == first


async def test_the_name_of_another_tasks_execution_is_taken() -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        arguments = {"StateMachineArn": child.arn, "Name": "fixed"}
        await executions.run(a_task(child, arguments))
        [arn] = it.ledger.arns("child")
        await it.end(await it.ledger.execution(arn))
        error = error_of(await executions.run(a_task(child, arguments, ticket=8)))
        assert error == "StepFunctions.ExecutionAlreadyExistsException"


async def test_a_child_whose_machine_went_with_it_is_still_heard_of() -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        job = a_task(child, {"StateMachineArn": child.arn})
        await executions.run(job)
        [arn] = it.ledger.arns("child")
        await it.end(await it.ledger.execution(arn))
        it.ledger.forget_machine(child.arn)
        outcome = await asyncio.wait_for(executions.follow(job), 10)
        assert error_of(outcome) is None


async def test_a_state_machine_that_starts_itself_ends() -> None:
    async with nesting() as (it, _):
        own = "arn:aws:states:us-east-1:123456789012:stateMachine:self"
        root = await it.start(await it.machine(starts(own), "self"))
        end = await it.end(root)
        assert end.status is Status.FAILED
        assert end.cause is not None
        assert len(end.cause) <= 32_768
        depths = [(await it.ledger.execution(arn)).depth for arn in it.ledger.arns("self")]
        assert sorted(depths) == list(range(MOST_DEEP + 1))


async def test_the_refusal_to_nest_deeper_says_why() -> None:
    async with nesting() as (it, executions):
        child = await it.machine(PASS, "child")
        job = a_task(child, {"StateMachineArn": child.arn}, depth=MOST_DEEP)
        outcome = await executions.run(job)
        assert isinstance(outcome, TaskFailed)
        assert outcome.error == "StepFunctions.ExecutionLimitExceededException"
        assert "started through 100 other executions" in str(outcome.cause)


@pytest.mark.parametrize("ends", ["stopped", "timed out"])
async def test_all_that_an_execution_waits_for_is_stopped_with_it(ends: str) -> None:
    async with nesting() as (it, _):
        leaf = await it.machine(WAIT, "leaf")
        middle = await it.machine(starts(leaf.arn), "middle")
        limit = {"TimeoutSeconds": 1} if ends == "timed out" else {}
        root = await it.start(await it.machine({**starts(middle.arn), **limit}, "root"))
        await it.until(lambda: it.ledger.arns("leaf"))
        if ends == "stopped":
            await it.engine.stop(root.arn, None, None)
        [arn] = it.ledger.arns("leaf")
        assert (await it.end(await it.ledger.execution(arn))).status is Status.ABORTED
        [arn] = it.ledger.arns("middle")
        assert (await it.end(await it.ledger.execution(arn))).status is Status.ABORTED


async def test_a_stop_that_nobody_answers_is_posted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution_calls, "_ANSWER_SECONDS", 0.1)
    ledger: Any = MemoryLedger()
    engine = make_engine(ledger, {})  # it does not run: the child is nobody's
    executions = Executions(ledger, lambda: engine, LoopClock())
    child = await ledger.put_machine(make_machine(WAIT, "child"))
    job = a_task(child, {"StateMachineArn": child.arn, "Name": "c"})
    await ledger.insert(make_execution(child, {}, "c"))
    await asyncio.wait_for(executions.abandon(job), 5)
    assert len(await ledger.posted(range(ledger.shards))) == 1
