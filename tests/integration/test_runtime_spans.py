"""The span that a runtime tells of each request, as the span store takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, web

from tests.integration.runtimes import NODE, PYTHON, Language, free_port, in_both, running
from torpor.telemetry.intake import PATH, Intake
from torpor.telemetry.spanstore import SpanStore
from torpor.telemetry.tracing import Span

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{CALLER}-01"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "20"}

PYTHON_CODE = """
import asyncio, time

def seen(event, context):
    return {name: event.headers.get(name) for name in ("traceparent", "tracestate")}

def fails(event, context):
    raise KeyError("the secret reason")

async def slow(event, context):
    await asyncio.sleep(5)

def breaks(event, context):
    yield "half"
    raise RuntimeError("in the middle")
"""
NODE_CODE = """
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
class KeyError extends Error { name = 'KeyError'; }

exports.seen = ({ headers }) => ({
  traceparent: headers.traceparent ?? null, tracestate: headers.tracestate ?? null,
});
exports.fails = () => { throw new KeyError('the secret reason'); };
exports.slow = () => wait(5000);
exports.breaks = async function* () { yield 'half'; throw new Error('in the middle'); };
"""
CODE = {PYTHON: PYTHON_CODE, NODE: NODE_CODE}


@dataclass
class Told:
    url: str
    spans: list[Span]

    async def got(self, count: int) -> list[Span]:
        async with asyncio.timeout(10):
            while len(self.spans) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.spans


@asynccontextmanager
async def intake(busy: int = 0, status: int = 503) -> AsyncIterator[Told]:
    """An intake as the dashboard has it, with all that it takes, but for the first ones if busy."""
    store, told = SpanStore(), Told("", [])

    def keep(service: str, span: Span) -> None:
        assert service == "shop/echo"
        store.add(service, span)
        told.spans.append(span)

    left = iter(range(busy))
    taking = Intake(keep)

    async def post(request: web.Request) -> web.StreamResponse:
        if next(left, None) is not None:
            return web.Response(status=status)
        return await taking.post(request)

    app = web.Application()
    app.router.add_post(PATH, post)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield told
    finally:
        await runner.cleanup()


def environment(to: Told) -> dict[str, str]:
    return {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": to.url}


@in_both
async def test_a_request_has_a_span_below_its_callers_and_passes_it_on(
    tmp_path: Path, language: Language
) -> None:
    async with (
        intake() as to,
        running(tmp_path, "main.seen", CODE[language], language, **environment(to)) as runtime,
        ClientSession() as client,
    ):
        headers = {"traceparent": GIVEN, "tracestate": "a=b", "X-Request-Id": "r-1"}
        async with client.get(runtime.url, headers=headers) as answer:
            seen = await answer.json()
        async with client.get(runtime.url, headers={"traceparent": "nonsense"}) as answer:
            anew = (await answer.json())["traceparent"].split("-")
        first, second = await to.got(2)
    assert (first.trace_id, first.parent_span_id, first.name) == (TRACE, CALLER, "shop/echo")
    assert seen == {"traceparent": f"00-{TRACE}-{first.span_id}-01", "tracestate": "a=b"}
    assert first.span_id != CALLER
    assert 0 <= first.end_seconds - first.start_seconds < 5
    assert first.error is None
    assert first.attributes == {
        "torpor.function": "shop/echo",
        "torpor.request_id": "r-1",
        "http.response.status_code": 200,
        "faas.coldstart": "true",
    }
    assert second.attributes["faas.coldstart"] == "false"
    assert [second.trace_id, second.span_id] == anew[1:3], "its own trace, and its root"
    assert second.parent_span_id is None


@in_both
async def test_a_collector_that_is_busy_is_asked_once_more(
    tmp_path: Path, language: Language
) -> None:
    async with (
        intake(busy=1) as to,
        running(tmp_path, "main.seen", CODE[language], language, **environment(to)) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url, headers={"traceparent": GIVEN}) as answer:
            assert answer.ok
        [span] = await to.got(1)
    assert span.trace_id == TRACE


@in_both
async def test_a_collector_that_refuses_is_not_asked_again(
    tmp_path: Path, language: Language
) -> None:
    async with (
        intake(busy=1, status=401) as to,
        running(tmp_path, "main.seen", CODE[language], language, **environment(to)) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url, headers={"traceparent": GIVEN}) as answer:
            assert answer.ok
        async with asyncio.timeout(10):
            while not runtime.lines():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with client.get(runtime.url, headers={"traceparent": GIVEN}) as answer:
            assert answer.ok
        assert len(await to.got(1)) == 1
    assert "1 spans were not taken" in str(runtime.lines()[0])


@in_both
async def test_a_trace_that_a_gateway_began_has_its_root_here(
    tmp_path: Path, language: Language
) -> None:
    async with (
        intake() as to,
        running(tmp_path, "main.seen", CODE[language], language, **environment(to)) as runtime,
        ClientSession() as client,
    ):
        seen = []
        for state in ("torpor=begun", "a=b, torpor=begun"):
            headers = {"traceparent": GIVEN, "tracestate": state}
            async with client.get(runtime.url, headers=headers) as answer:
                seen.append(await answer.json())
        spans = await to.got(2)
    assert {(span.span_id, span.parent_span_id) for span in spans} == {(CALLER, None)}
    assert seen == [
        {"traceparent": GIVEN, "tracestate": None},
        {"traceparent": GIVEN, "tracestate": "a=b"},
    ], "who is called is below it"


@in_both
async def test_what_fails_is_told_by_its_class_and_what_is_late_as_that(
    tmp_path: Path, language: Language
) -> None:
    async with intake() as to, ClientSession() as client:
        for handler in ("fails", "slow", "breaks"):
            extra = {**environment(to), "TORPOR_TIMEOUT_SECONDS": "1"}
            async with running(
                tmp_path, f"main.{handler}", CODE[language], language, **extra
            ) as runtime:
                try:
                    async with client.get(runtime.url) as answer:
                        await answer.read()
                except ClientError:
                    assert handler == "breaks", "its answer is cut off"
                runtime.process.terminate()
                assert await asyncio.wait_for(runtime.process.wait(), 10) == 0, handler
        failed, late, cut = await to.got(3)
    told = [(span.error, span.attributes["http.response.status_code"]) for span in to.spans]
    assert told == [("KeyError", 500), ("timeout", 504), ("stream", 200)]
    assert late.end_seconds - late.start_seconds > 0.9
    assert "secret" not in str(failed)
    assert cut.name == "shop/echo"


@in_both
async def test_what_waits_is_sent_before_the_process_ends(
    tmp_path: Path, language: Language
) -> None:
    async with intake() as to, ClientSession() as client:
        extra = {**environment(to), "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        async with running(tmp_path, "main.seen", CODE[language], language, **extra) as runtime:
            async with client.get(runtime.url) as answer:
                assert answer.status == 200
            assert to.spans == []
            runtime.process.terminate()
            assert await asyncio.wait_for(runtime.process.wait(), 5) == 0
        assert len(to.spans) == 1


@in_both
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
    ],
    ids=["no endpoint", "disabled", "no exporter", "another protocol"],
)
async def test_where_none_are_wanted_the_headers_are_the_callers(
    tmp_path: Path, language: Language, extra: dict[str, str]
) -> None:
    async with (
        running(tmp_path, "main.seen", CODE[language], language, **extra) as runtime,
        ClientSession() as client,
        client.get(runtime.url, headers={"traceparent": GIVEN}) as answer,
    ):
        assert (await answer.json())["traceparent"] == GIVEN


@in_both
async def test_who_is_not_sampled_is_not_told(tmp_path: Path, language: Language) -> None:
    quiet = f"00-{TRACE}-{CALLER}-00"
    async with (
        intake() as to,
        running(tmp_path, "main.seen", CODE[language], language, **environment(to)) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url, headers={"traceparent": quiet}) as answer:
            assert (await answer.json())["traceparent"] == quiet
        async with client.get(runtime.url, headers={"traceparent": GIVEN}) as answer:
            assert answer.status == 200
        [only] = await to.got(1)
    assert only.parent_span_id == CALLER


@in_both
async def test_an_endpoint_that_is_away_costs_no_request_and_no_end(
    tmp_path: Path, language: Language
) -> None:
    extra = {**SOON, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    async with (
        running(tmp_path, "main.seen", CODE[language], language, **extra) as runtime,
        ClientSession() as client,
    ):
        async with client.get(runtime.url) as answer:
            assert answer.status == 200
        async with asyncio.timeout(10):
            while not runtime.lines():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        runtime.process.terminate()
        assert await asyncio.wait_for(runtime.process.wait(), 5) == 0
    assert "1 spans were not taken" in str(runtime.lines()[0]["msg"])
