"""A collector: takes traces by OTLP over HTTP, as the protocol's own messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, slots=True)
class Told:
    """A span as the collector got it; ids in hex, times in seconds."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: str
    start: float
    end: float
    error: str | None
    attributes: dict[str, Any]


@dataclass
class Collector:
    """Keeps what it is sent. `headers` are those of the last request."""

    url: str = ""
    spans: list[Told] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        message = ExportTraceServiceRequest.FromString(await request.read())
        self.headers = dict(request.headers)
        for of_resource in message.resource_spans:
            service = _attributes(of_resource.resource)["service.name"]
            for of_scope in of_resource.scope_spans:
                self.spans += [_told(service, span) for span in of_scope.spans]
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=body, content_type="application/x-protobuf")

    async def got(self, count: int, seconds: float = 20.0) -> list[Told]:
        """The spans, once there are as many."""
        async with asyncio.timeout(seconds):
            while len(self.spans) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.spans


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()


def _told(service: str, span: Span) -> Told:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return Told(
        service,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        Span.SpanKind.Name(span.kind),
        span.start_time_unix_nano / 1e9,
        span.end_time_unix_nano / 1e9,
        span.status.message if failed else None,
        _attributes(span),
    )


def _attributes(of: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in of.attributes}
