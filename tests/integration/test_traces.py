"""An engine on PostgreSQL tells its traces to a collector, and outlives one that is away."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import web

from tests.support.collector import Collector, Told, collector
from tests.support.engine_rig import KEY, NoItems, Tasks, make_execution, make_machine, running
from tests.support.postgres import fresh_database, needs_postgres
from torpor.telemetry.metrics import REGISTRY
from torpor.telemetry.tracing import exporting
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.frontier import Status
from torpor.workflows.engine.base import Integration, Job
from torpor.workflows.engine.engine import Engine, EngineOptions
from torpor.workflows.engine.integrations.executions import Executions
from torpor.workflows.engine.world import WallClock
from torpor.workflows.ledger.base import Ledger
from torpor.workflows.ledger.postgres import open_ledger
from torpor.workflows.records import Execution

pytestmark = needs_postgres
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
RETRY = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "BackoffRate": 1.0}]


def task(name: str, **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:lambda:{name}", **more}


def only(state: dict[str, Any], name: str = "s") -> dict[str, Any]:
    return {"StartAt": name, "States": {name: {**state, "End": True}}}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


@asynccontextmanager
async def at_work(dsn: str, tasks: Tasks) -> AsyncIterator[tuple[Ledger, Engine]]:
    async with exporting("engine", 2.0) as emit, open_ledger(dsn, 16) as ledger:
        integrations: dict[str, Integration] = {"lambda": tasks}
        options = EngineOptions("one", lease_seconds=2.0)
        engine = Engine(
            ledger, integrations, NoItems(), KEY, options, WallClock(), Random(1), emit=emit
        )
        integrations["states"] = Executions(ledger, lambda: engine, WallClock())
        async with running(engine):
            yield ledger, engine


async def ended(ledger: Ledger, execution: Execution) -> Execution:
    async with asyncio.timeout(30):
        while (  # noqa: ASYNC110
            found := await ledger.execution(execution.arn)
        ).status is Status.RUNNING:
            await asyncio.sleep(0.01)
    return found


def traced(machine: Any, name: str, header: str | None) -> Execution:
    started = make_execution(machine, {}, name, time.time())
    return Execution(
        started.arn,
        started.name,
        started.machine_arn,
        started.revision_id,
        0,
        Status.RUNNING,
        started.input,
        started.started_at,
        trace_header=header,
    )


async def echo(job: Job) -> Any:
    return job.dispatch.argument.value


async def test_a_trace_has_the_execution_its_attempts_and_the_execution_below(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def flaky(job: Job) -> Any:
        if sum(call.state == "flaky" for call in tasks.calls) == 1:
            raise Fault("Broken", "a cause with what a user sent")
        return {}

    tasks = Tasks({"echo": echo, "flaky": flaky})
    nested = {
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution.sync:2",
        "Parameters": {"StateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:in"},
        "End": True,
    }
    outer = {
        "StartAt": "flaky",
        "States": {
            "flaky": task("flaky", Retry=RETRY, Next="both"),
            "both": {
                "Type": "Parallel",
                "Branches": [only(task("echo"), "left"), only(task("echo"), "right")],
                "Next": "nested",
            },
            "nested": nested,
        },
    }
    async with collector() as to, fresh_database() as dsn:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=of-the-test")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-engine")
        async with at_work(dsn, tasks) as (ledger, engine):
            await ledger.put_machine(make_machine(only(task("echo"), "leaf"), "in"))
            machine = await ledger.put_machine(make_machine(outer, "out"))
            started = await engine.start(traced(machine, "e", f"00-{TRACE}-{CALLER}-01"))
            end = await ended(ledger, started)
            spans = await to.got(7)
        assert {span.trace for span in spans} == {TRACE}
        assert {span.service for span in spans} == {"shop-engine"}
        assert to.headers["x-key"] == "of-the-test"
        root = one(spans, "out")
        assert (root.parent, root.kind, root.error) == (CALLER, "SPAN_KIND_SERVER", None)
        assert root.start == pytest.approx(end.started_at, abs=1e-3)
        assert root.end == pytest.approx(end.stopped_at, abs=1e-3)
        assert root.attributes["torpor.execution.arn"] == end.arn
        below = sorted(
            (span for span in spans if span.parent == root.id), key=lambda span: span.start
        )
        assert sorted(span.name for span in below) == ["flaky", "flaky", "left", "nested", "right"]
        failed, retried = below[:2]
        assert (failed.attributes["torpor.attempt"], failed.error) == (1, "Broken")
        assert (retried.attributes["torpor.attempt"], retried.error) == (2, None)
        assert retried.start - failed.end == pytest.approx(1.0, abs=0.5)
        assert "what a user sent" not in str(spans)
        child = one(spans, "in")
        assert child.parent == one(spans, "nested").id
        assert one(spans, "leaf").parent == child.id
        sent = {(call.trace or "").split("-")[2] for call in tasks.calls}
        assert sent == {s.id for s in spans if s.name in ("flaky", "left", "right", "leaf")}
        assert len(to.spans) == 8


def one(spans: list[Told], name: str) -> Told:
    [found] = [span for span in spans if span.name == name]
    return found


async def test_what_the_caller_does_not_sample_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async with collector() as to, fresh_database() as dsn:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{to.url}/v1/traces")
        async with at_work(dsn, Tasks({"echo": echo})) as (ledger, engine):
            machine = await ledger.put_machine(make_machine(only(task("echo"))))
            silent = await engine.start(traced(machine, "silent", f"00-{TRACE}-{CALLER}-00"))
            assert (await ended(ledger, silent)).status is Status.SUCCEEDED
            told = await engine.start(traced(machine, "told", None))
            await ended(ledger, told)
        assert {span.attributes["torpor.execution.arn"] for span in to.spans} == {told.arn}


async def test_executions_go_on_while_the_collector_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        before = _dropped()
        async with fresh_database() as dsn:
            async with at_work(dsn, Tasks({"echo": echo})) as (ledger, engine):
                machine = await ledger.put_machine(make_machine(only(task("echo"))))
                starts = [traced(machine, f"e{n}", None) for n in range(50)]
                executions = [await engine.start(start) for start in starts]
                ends = [await ended(ledger, execution) for execution in executions]
                closing = time.monotonic()
            assert time.monotonic() - closing < 10.0
        assert {end.status for end in ends} == {Status.SUCCEEDED}
        assert _dropped() - before == 100
        said = [r for r in caplog.records if r.name.startswith("opentelemetry")]
        assert [record.levelno for record in said] == [logging.WARNING]


def _dropped() -> float:
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        if metric.name == "torpor_trace_spans_dropped"
        for sample in metric.samples
        if sample.name.endswith("_total")
    )


@contextmanager
def process(dsn: str, gateway: str, owner: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.support.traced_engine", dsn, gateway, owner]
    found = subprocess.Popen(command)
    try:
        yield found
    finally:
        found.kill()
        found.wait(10)


@asynccontextmanager
async def functions(answer: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_attempt_whose_engine_dies_is_told_once_and_from_its_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called, over = asyncio.Event(), asyncio.Event()
    traces: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        traces.append(request.headers["traceparent"])
        if len(traces) == 1:
            return web.json_response({"errorType": "Broken"}, status=500)
        if len(traces) == 2:
            called.set()
            await over.wait()
        return web.json_response({})

    async with collector() as to, fresh_database() as dsn, functions(answer) as gateway:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.url)
        async with open_ledger(dsn, 16) as ledger:
            definition = only(task("slow", Retry=RETRY))
            machine = await ledger.put_machine(make_machine(definition))
            started = await ledger.insert(traced(machine, "e", None))
            with process(dsn, gateway, "first") as first:
                async with asyncio.timeout(30):
                    await called.wait()
                await to.got(1)
                first.kill()
                killed_at = time.time()
                over.set()
            with process(dsn, gateway, "second"):
                end = await ended(ledger, started)
                spans = await _settled(to, 3)
        assert end.status is Status.SUCCEEDED
        assert [span.name for span in spans].count("m") == 1
        attempts = [span for span in spans if span.name == "s"]
        assert [(a.service, a.attributes["torpor.attempt"], a.error) for a in attempts] == [
            ("first", 1, "Broken"),
            ("second", 2, None),
        ]
        again = attempts[1]
        assert again.start < killed_at < again.end
        assert again.start - attempts[0].end == pytest.approx(1.0, abs=0.5)
        assert {trace.split("-")[2] for trace in traces} == {a.id for a in attempts}


async def _settled(to: Collector, count: int) -> list[Told]:
    """As many spans, and no more of them for several batches."""
    await to.got(count)
    await asyncio.sleep(0.5)
    return list(to.spans)
