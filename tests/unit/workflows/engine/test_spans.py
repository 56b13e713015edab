"""What the spans of an execution tell: how its tasks ended, and how each of its runs did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

import pytest

from tests.support.engine_rig import (
    KEY,
    NO_OPTIONS,
    LoopClock,
    NoItems,
    Rig,
    Tasks,
    make_execution,
    make_machine,
    running,
)
from tests.support.memory_ledger import MemoryLedger
from torpor.telemetry.tracing import Kind, Span
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.payload import Payload
from torpor.workflows.engine.base import Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.tracing import execution_span_id, trace_of, traceparent
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.records import MachineType, Options

CALLER = "00f067aa0ba902b7"


@dataclass
class Traced:
    """An engine that tells its spans into a list."""

    rig: Rig
    spans: list[Span] = field(default_factory=list)

    def ends(self) -> list[tuple[str, str | None]]:
        """The name and error of every span, in the order in which they were told."""
        return [(span.name, span.error) for span in self.spans]


@asynccontextmanager
async def traced(**handlers: Callable[[Job], Awaitable[Any]]) -> AsyncIterator[Traced]:
    ledger, tasks, spans = MemoryLedger(), Tasks(dict(handlers)), list[Span]()
    engine = Engine(
        cast(Ledger, ledger),
        {"lambda": tasks},
        NoItems(),
        KEY,
        EngineOptions("one"),
        LoopClock(),
        Random(1),
        emit=spans.append,
    )
    async with running(engine):
        yield Traced(Rig(ledger, engine, tasks), spans)


def task(**more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": "arn:aws:lambda:f", **more}


def only(state: dict[str, Any]) -> dict[str, Any]:
    return {"StartAt": "s", "States": {"s": {**state, "End": True}}}


async def forever(job: Job) -> Any:
    await asyncio.sleep(3600)


async def broken(job: Job) -> Any:
    raise Fault("Broken", "why")


async def fine(job: Job) -> Any:
    return {"n": 1}


async def test_a_task_that_fails_names_its_error_and_so_does_the_execution() -> None:
    async with traced(f=broken) as found:
        end = await found.rig.run(only(task()))
        assert found.ends() == [("s", "Broken"), ("m", "Broken")]
        attempt, whole = found.spans
        assert (attempt.kind, whole.kind) == (Kind.CLIENT, Kind.SERVER)
        assert attempt.parent_span_id == whole.span_id
        assert attempt.attributes["torpor.resource"] == "arn:aws:lambda:f"
        assert (whole.start_seconds, whole.end_seconds) == (end.started_at, end.stopped_at)
        assert whole.attributes["torpor.execution.status"] == "FAILED"


async def test_a_task_that_takes_too_long_is_told_as_timed_out() -> None:
    async with traced(f=forever) as found:
        await found.rig.run(only(task(TimeoutSeconds=1)))
        assert found.ends() == [("s", "States.Timeout"), ("m", "States.Timeout")]
        assert found.spans[0].end_seconds - found.spans[0].start_seconds == pytest.approx(1, abs=1)


async def test_an_answer_that_is_too_large_is_an_error_of_its_task() -> None:
    async with traced(f=fine) as found:
        machine = await found.rig.machine(only(task()), options=replace(Options(), payload_bytes=4))
        await found.rig.end(await found.rig.start(machine))
        exceeded = "States.DataLimitExceeded"
        assert found.ends() == [("s", exceeded), ("m", exceeded)]


async def test_tasks_that_nobody_waits_for_any_more_are_aborted() -> None:
    branches = [only(task()), {"StartAt": "b", "States": {"b": {"Type": "Fail", "Error": "E"}}}]
    started = asyncio.Event()

    async def hold(job: Job) -> Any:
        started.set()
        await forever(job)

    wait_then_fail = {
        "StartAt": "w",
        "States": {"w": {"Type": "Wait", "Seconds": 1, "Next": "b"}, **branches[1]["States"]},
    }
    both = {"Type": "Parallel", "Branches": [branches[0], wait_then_fail]}
    async with traced(f=hold) as found:
        await found.rig.run(only(both))
        assert found.ends() == [("s", "Aborted"), ("m", "E")]
        started.clear()
        stopped = await found.rig.start(await found.rig.machine(only(task()), "other"))
        await started.wait()
        await found.rig.engine.stop(stopped.arn, "Enough", None)
        assert found.ends()[2:] == [("s", "Aborted"), ("other", "Enough")]


async def test_a_redrive_is_a_run_with_a_span_of_its_own() -> None:
    async def once_broken(job: Job) -> Any:
        return await (broken(job) if len(found.rig.tasks.calls) == 1 else fine(job))

    async with traced(f=once_broken) as found:
        end = await found.rig.run(only(task()))
        await found.rig.engine.redrive(end.arn)
        await found.rig.end(end)
        await found.rig.until(lambda: len(found.spans) == 4)
        assert found.ends() == [("s", "Broken"), ("m", "Broken"), ("s", None), ("m", None)]
        first, again = found.spans[1], found.spans[3]
        assert first.trace_id == again.trace_id
        assert first.span_id != again.span_id == found.spans[2].parent_span_id
        assert again.start_seconds >= first.end_seconds


async def test_a_callback_task_lasts_until_its_token_comes_back() -> None:
    tokens: list[str] = []

    async def give(job: Job) -> Any:
        tokens.append(job.token)
        return {}

    waits = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "f", "Payload": {"t.$": "$$.Task.Token"}},
    }
    async with traced(f=give) as found:
        execution = await found.rig.start(await found.rig.machine(only(waits)))
        await found.rig.until(lambda: tokens)
        assert found.spans == []
        await found.rig.engine.succeed(tokens[0], Payload({}))
        await found.rig.end(execution)
        assert found.ends() == [("s", None), ("m", None)]


@pytest.mark.parametrize("answers_lost", [1, 2])
async def test_what_a_commit_without_an_answer_ended_is_told_once(answers_lost: int) -> None:
    held, go = asyncio.Event(), asyncio.Event()

    async def hold(job: Job) -> Any:
        held.set()
        await go.wait()
        return {}

    two = {"StartAt": "a", "States": {"a": task(Next="b"), "b": task(End=True)}}
    async with traced(f=hold) as found:
        execution = await found.rig.start(await found.rig.machine(two))
        await held.wait()
        found.rig.ledger.lost_answers = answers_lost
        go.set()
        await found.rig.end(execution)
        await found.rig.until(lambda: len(found.spans) >= 3)
        assert found.ends() == [("a", None), ("b", None), ("m", None)]


async def test_what_a_commit_did_not_write_is_told_when_it_is() -> None:
    held, go = asyncio.Event(), asyncio.Event()

    async def hold(job: Job) -> Any:
        held.set()
        await go.wait()
        return {}

    async with traced(f=hold) as found:
        execution = await found.rig.start(await found.rig.machine(only(task())))
        await held.wait()
        found.rig.ledger.away = True
        go.set()
        await asyncio.sleep(0.3)
        assert found.spans == []
        found.rig.ledger.away = False
        await found.rig.end(execution)
        assert found.ends() == [("s", None), ("m", None)]


@pytest.mark.parametrize("mode", ["INLINE", "DISTRIBUTED"])
async def test_the_tasks_of_a_maps_items_are_right_below_the_execution(mode: str) -> None:
    each = {
        "Type": "Map",
        "ItemsPath": "$.items",
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": mode, "ExecutionType": "STANDARD"},
            "StartAt": "each",
            "States": {"each": task(End=True)},
        },
    }
    async with traced(f=fine) as found:
        await found.rig.run(only(each), {"items": [1, 2, 3]})
        assert found.ends() == [*[("each", None)] * 3, ("m", None)]
        assert {span.parent_span_id for span in found.spans[:3]} == {found.spans[3].span_id}
        assert len({span.span_id for span in found.spans}) == 4


async def test_express_executions_are_told_too() -> None:
    async with traced(f=fine) as found:
        machine = make_machine(only(task()), "quick", MachineType.EXPRESS, NO_OPTIONS)
        await found.rig.ledger.put_machine(machine)
        await found.rig.engine.run_express(make_execution(machine, {}, "e"), wait=True)
        assert found.ends() == [("s", None), ("quick", None)]


async def test_the_span_of_a_task_is_the_one_that_its_function_is_called_under() -> None:
    async with traced(f=fine) as found:
        await found.rig.run(only(task()))
        [call] = found.rig.tasks.calls
        attempt = found.spans[0]
        assert call.trace == f"00-{attempt.trace_id}-{attempt.span_id}-01"


def test_the_root_hangs_under_whoever_started_the_execution() -> None:
    plain = make_execution(make_machine({}), {}, "e", 5.0)
    trace = "5759e988-bd862e3fe1be46a994272793"
    xray = replace(plain, trace_header=f"Root=1-{trace};Parent={CALLER};Sampled=1")
    assert trace_of(xray).parent_span_id == CALLER
    assert trace_of(plain).parent_span_id is None
    nobody = replace(plain, trace_header=f"00-{'a' * 32}-{'0' * 16}-01")
    assert trace_of(nobody).parent_span_id is None
    child = replace(plain, trace_header=traceparent(plain, "k"))
    assert trace_of(child).id == trace_of(plain).id
    assert trace_of(child).parent_span_id == traceparent(plain, "k").split("-")[2]
    assert execution_span_id(plain, 0) != execution_span_id(plain, 1)


async def test_unsampled_executions_are_not_told() -> None:
    async with traced(f=fine) as found:
        machine = await found.rig.machine(only(task()))
        silent = replace(
            make_execution(machine, {}, "e"), trace_header=f"00-{'a' * 32}-{CALLER}-00"
        )
        await found.rig.end(await found.rig.engine.start(silent))
        assert found.spans == []
