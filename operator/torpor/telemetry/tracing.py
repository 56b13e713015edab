"""Spans of any role, sent by OTLP when OpenTelemetry's own environment variables say where to.

Where they do not, nothing of OpenTelemetry is imported and nothing runs. It is an extra (`otlp`),
which the images have; roles know no more of it than `Span` and `Emit`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from importlib import import_module
from typing import Protocol, cast

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
"""How long a process that ends waits for its last spans to be taken."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"


class Kind(Enum):
    """What a span is in its trace (OpenTelemetry, "SpanKind")."""

    INTERNAL = "internal"
    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that is over. Ids in lower-case hex, times in seconds since the epoch.

    `error` is a code for what went wrong, None if nothing did; never a message, which may hold
    what users sent.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: Kind
    start_seconds: float
    end_seconds: float
    error: str | None = None
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)


Emit = Callable[[Span], None]
"""Hands a span over; it returns at once and never fails, whatever becomes of the span."""
Keep = Callable[[str, Span], None]
"""Keeps a span of the process that is named, as `SpanStore.add` does."""


class _Exporter(Protocol):
    def emit(self, span: Span) -> None: ...
    def flush(self) -> None: ...
    def give_up(self) -> None: ...


@asynccontextmanager
async def exporting(
    service: str, seconds: float = FLUSH_SECONDS, keep: Keep | None = None
) -> AsyncIterator[Emit | None]:
    """Send spans inside the block as `service`, and have them kept by `keep` if there is one.

    None where no endpoint is set or none can be used, and nothing keeps them. At the end of the
    block what was handed over is sent, for at most `seconds`.
    """
    exporter = _exporter(service) if is_configured(os.environ) else None
    kept = partial(keep, service) if keep else None
    if exporter is None:
        yield kept
        return
    try:
        yield _both(kept, exporter.emit) if kept else exporter.emit
    finally:
        await _end(exporter, seconds)


def _both(first: Emit, second: Emit) -> Emit:
    def emit(span: Span) -> None:
        first(span)
        second(span)

    return emit


def is_configured(environment: Mapping[str, str]) -> bool:
    """Whether traces are to be sent (OpenTelemetry, "Environment Variable Specification")."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in ("otlp", ""):
        return False
    return endpoint_of(environment) is not None


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """Return where traces are posted to, None where no endpoint is set (OTLP, "Endpoint URLs")."""
    whole, base = (environment.get(name, "").strip() for name in _ENDPOINTS)
    if whole:
        return whole
    return f"{base.rstrip('/')}/v1/traces" if base else None


def _exporter(service: str) -> _Exporter | None:
    protocol = next((found for name in _PROTOCOLS if (found := os.environ.get(name))), _SPOKEN)
    if protocol != _SPOKEN:
        log.warning(
            "no traces are sent: %s is not spoken here. Name an endpoint for %s and set "
            "OTEL_EXPORTER_OTLP_PROTOCOL to it",
            protocol,
            _SPOKEN,
        )
        return None
    try:
        return cast(_Exporter, import_module("torpor.telemetry.otlp").OtlpExporter(service))
    except ModuleNotFoundError as missing:
        if not (missing.name or "").startswith("opentelemetry"):
            raise
        log.warning("no traces are sent: OpenTelemetry is missing. pip install 'torpor[otlp]'")
    except ValueError as wrong:
        log.warning("no traces are sent: a variable OTEL_… cannot be understood: %s", wrong)
    return None


async def _end(exporter: _Exporter, seconds: float) -> None:
    """Flush on a thread of its own, which cannot hold the process up when it takes too long."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def flush() -> None:
        exporter.flush()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=flush, name="last spans", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await done.wait()
    except TimeoutError:
        pass
    finally:
        exporter.give_up()
