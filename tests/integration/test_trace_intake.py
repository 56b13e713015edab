"""The intake of spans: from the real exporter, from what is no OTLP, and on to a collector."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.collector import collector
from torpor.dashboard.server import served
from torpor.telemetry.intake import MOST_BYTES, PATH, Intake
from torpor.telemetry.otlp_forward import HandOn, forwarding
from torpor.telemetry.spanstore import SpanStore
from torpor.telemetry.tracing import Kind, Span, exporting

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ID = "00f067aa0ba902b7"
PARENT = "b7ad6b7169203331"
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@asynccontextmanager
async def intake(store: SpanStore, hand_on: HandOn | None = None) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1)  # the intake bounds bodies itself
    app.router.add_post(PATH, Intake(store.add, hand_on).post)
    async with served(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def body(*spans: dict[str, Any], service: str = "mine") -> bytes:
    name = {"key": "service.name", "value": {"stringValue": service}}
    of_resource = {"resource": {"attributes": [name]}, "scopeSpans": [{"spans": list(spans)}]}
    return json.dumps({"resourceSpans": [of_resource]}).encode()


def told(**more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE.upper(),
        "spanId": ID,
        "name": "work",
        "kind": 2,
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": "2500000000",
        **more,
    }


async def sent(url: str, content: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    async with (
        ClientSession() as client,
        client.post(url + PATH, data=io.BytesIO(content), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def test_the_real_exporter_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SpanStore()
    attributes: dict[str, str | int | float] = {"text": "ü", "count": 3, "seconds": 0.5}
    span = Span(TRACE, ID, PARENT, "work", Kind.CLIENT, 1.0, 2.5, "Broken", attributes)
    async with intake(store) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        async with exporting("one") as emit:
            assert emit is not None
            emit(span)
    tree = store.tree(TRACE)
    assert tree is not None
    assert [(branch.service, branch.span) for branch in tree.branches] == [("one", span)]


async def test_json_is_understood_and_what_is_no_span_is_counted() -> None:
    store = SpanStore()
    values = [
        {"key": "flag", "value": {"boolValue": True}},
        {"key": "count", "value": {"intValue": "7"}},
        {"key": "huge", "value": {"intValue": str(1 << 70)}},
        {"key": "list", "value": {"arrayValue": {}}},
        {"key": "error.type", "value": {"stringValue": "KeyError"}},
    ]
    failed = told(attributes=values, status={"code": 2, "message": "secret"}, kind=99)
    wrong = [told(traceId="no"), told(spanId="0" * 16), told(endTimeUnixNano="later")]
    async with intake(store) as url:
        status, answer = await sent(url, body(failed, *wrong), JSON)
    assert status == 200
    assert answer["partialSuccess"]["rejectedSpans"] == "3"
    tree = store.tree(TRACE)
    assert tree is not None
    [branch] = tree.branches
    assert (branch.service, branch.span.kind, branch.span.error) == (
        "mine",
        Kind.INTERNAL,
        "KeyError",
    )
    assert branch.span.attributes == {"flag": "true", "count": 7}


@pytest.mark.parametrize(
    ("content", "headers", "status", "message"),
    [
        (b"{", JSON, 400, "not JSON"),
        (b"[]", JSON, 400, "not an ExportTraceServiceRequest"),
        (b'{"resourceSpans": [{"scopeSpans": 3}]}', JSON, 400, "not an Export"),
        (b"[" * 100_000, JSON, 400, "not JSON"),
        (b"\xff\xff\xff", PROTOBUF, 400, "not OTLP's protobuf"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "content type must be"),
        (b" " * (MOST_BYTES + 1), JSON, 413, "at most"),
        (gzip.compress(b" " * 40 * MOST_BYTES), {**JSON, "Content-Encoding": "gzip"}, 413, "most"),
        (b"no gzip", {**JSON, "Content-Encoding": "gzip"}, 400, "it is not gzip"),
        (b"nope", {**JSON, "Content-Encoding": "deflate"}, 400, "it is not deflate"),
        (gzip.compress(b"{}")[:-6], {**JSON, "Content-Encoding": "gzip"}, 400, "has no end"),
        (gzip.compress(b"{}") * 2, {**JSON, "Content-Encoding": "gzip"}, 400, "goes on after"),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 415, "must be gzip or deflate, or none"),
        (b"{}", {**JSON, "Content-Encoding": "zstd"}, 415, "must be gzip or deflate, or none"),
    ],
    ids=[
        *("cut", "list", "shape", "deep", "protobuf", "type", "large", "bomb"),
        *("gzip", "deflate", "end", "two", "br", "zstd"),
    ],
)
async def test_what_is_no_otlp_is_refused_and_the_log_says_nothing(
    content: bytes,
    headers: dict[str, str],
    status: int,
    message: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = SpanStore()
    async with intake(store) as url:
        found, answer = await sent(url, content, headers)
    assert found == status
    assert message in answer["message"]
    assert len(store) == 0
    assert caplog.records == []


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("GZIP", gzip.compress),
    ],
)
async def test_what_is_packed_is_unpacked(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    store = SpanStore()
    async with intake(store) as url:
        status, _ = await sent(url, pack(body(told())), {**JSON, "Content-Encoding": encoding})
    assert (status, len(store)) == (200, 1)


async def test_what_comes_is_handed_on_to_the_collector_that_is_named() -> None:
    async with collector() as to:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": to.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20secret",
        }
        store = SpanStore()
        async with forwarding(environment) as hand_on, intake(store, hand_on) as url:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
                async with exporting("one") as emit:
                    assert emit is not None
                    emit(Span(TRACE, ID, None, "work", Kind.SERVER, 1.0, 2.0))
        [span] = await to.got(1)
    assert (span.trace, span.service) == (TRACE, "one")
    assert to.headers["Authorization"] == "Bearer secret"
    assert len(store) == 1


async def test_what_was_handed_on_goes_no_further() -> None:
    handed: list[object] = []
    async with intake(SpanStore(), handed.append) as url:
        assert (await sent(url, body(told()), {**JSON, "Torpor-Forwarded": "1"}))[0] == 200
        assert handed == []
        assert (await sent(url, body(told()), JSON))[0] == 200
    assert len(handed) == 1


async def test_a_collector_that_is_away_holds_up_nobody() -> None:
    environment = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}
    async with asyncio.timeout(10):
        async with forwarding(environment) as hand_on, intake(SpanStore(), hand_on) as url:
            assert (await sent(url, body(told()), JSON))[0] == 200
