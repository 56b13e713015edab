"""Hands trace requests on to the collector that OpenTelemetry's variables name, as they came.

In the background, and bounded: a collector that is away holds nobody up, and what it did not take
is counted.
"""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

import aiohttp

from torpor.telemetry.metrics import TRACE_SPANS_DROPPED
from torpor.telemetry.tracing import endpoint_of

log = logging.getLogger(__name__)

FORWARDED = "Torpor-Forwarded"
"""The header of what was handed on already: nothing goes round in circles."""
_MOST_BYTES = 16 * 1024 * 1024
_ANSWER_SECONDS = 10.0
_LAST_SECONDS = 2.0
_QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The body of a trace request with so many spans."""

    body: bytes = field(repr=False)
    content_type: str
    spans: int


HandOn = Callable[[Batch], None]


@asynccontextmanager
async def forwarding(environment: Mapping[str, str]) -> AsyncIterator[HandOn | None]:
    """Hand batches on inside the block; None where the environment names no collector.

    At the end of the block what waits is sent, for at most two seconds.
    """
    url = endpoint_of(environment)
    if url is None:
        yield None
        return
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_trusting(environment)),
        timeout=timeout,
        headers={**_headers(environment), FORWARDED: "1"},
    ) as session:
        line = _Line(session, url)
        sending = asyncio.create_task(line.run(), name="hand traces on")
        try:
            yield line.add
        finally:
            line.end()
            await asyncio.wait((sending,), timeout=_LAST_SECONDS)
            sending.cancel()
            await asyncio.wait((sending,))
            line.give_up()


class _Line:
    """Batches that wait to be sent, one after the other."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._waiting: deque[Batch] = deque()
        self._size_bytes = 0
        self._news = asyncio.Event()
        self._is_ending = False
        self._quiet_until = 0.0

    def add(self, batch: Batch) -> None:
        """Have a batch sent; it is dropped when too much waits already."""
        if self._size_bytes + len(batch.body) > _MOST_BYTES:
            TRACE_SPANS_DROPPED.labels("queue_full").inc(batch.spans)
            return
        self._waiting.append(batch)
        self._size_bytes += len(batch.body)
        self._news.set()

    def end(self) -> None:
        """Have `run` return once nothing waits."""
        self._is_ending = True
        self._news.set()

    def give_up(self) -> None:
        """Count what was not sent."""
        TRACE_SPANS_DROPPED.labels("stopped").inc(sum(batch.spans for batch in self._waiting))

    async def run(self) -> None:
        """Send what waits."""
        while True:
            while self._waiting:
                await self._send(self._waiting[0])
                self._size_bytes -= len(self._waiting.popleft().body)
            if self._is_ending:
                return
            self._news.clear()
            await self._news.wait()

    async def _send(self, batch: Batch) -> None:
        headers = {"Content-Type": batch.content_type}
        try:
            body = io.BytesIO(batch.body)
            async with self._session.post(self._url, data=body, headers=headers) as answer:
                if answer.ok:
                    return
                problem = f"it answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
        TRACE_SPANS_DROPPED.labels("not_taken").inc(batch.spans)
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("the collector %s does not take traces: %s", self._url, problem)


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that a collector asks for (OpenTelemetry, "OTLP Exporter")."""
    names = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
    given = next((found for name in names if (found := environment.get(name))), "")
    pairs = (pair.partition("=") for pair in given.split(",") if "=" in pair)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _trusting(environment: Mapping[str, str]) -> ssl.SSLContext | bool:
    names = ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")
    file = next((found for name in names if (found := environment.get(name))), None)
    return ssl.create_default_context(cafile=file) if file else True
