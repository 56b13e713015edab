"""Reads OTLP's `ExportTraceServiceRequest`, as JSON or as protobuf, into spans. Pure.

One span that makes no sense does not cost the others: it is counted (OTLP, "Partial Success").
Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp and opentelemetry-proto.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import isfinite
from typing import Any

from torpor.errors import TorporError
from torpor.telemetry.tracing import Kind, Span

JSON = "application/json"
PROTOBUF = "application/x-protobuf"
_HEX = re.compile("[0-9a-fA-F]+")
_NANOSECONDS = 1_000_000_000
_FAILED = 2
_KINDS = {2: Kind.SERVER, 3: Kind.CLIENT, 4: Kind.CLIENT, 5: Kind.SERVER}
"""By the numbers of OTLP's SpanKind; who produces is a client, who consumes a server."""
_UNNAMED = "unknown_service"
_VALUES: Mapping[str, Callable[[Any], str | int | float]] = {
    "stringValue": str,
    "boolValue": lambda value: "true" if value else "false",
    "intValue": lambda value: _within_64_bits(int(value)),
    "doubleValue": lambda value: _finite(float(value)),
}


class NotOtlp(TorporError):
    """The body is no trace request."""

    code = "not-otlp"


class NoProtobuf(TorporError):
    """Protobuf cannot be read here: its package is not installed."""

    code = "no-protobuf"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The spans with the services that told them, and how many could not be understood."""

    spans: tuple[tuple[str, Span], ...]
    rejected: int


def decoded(body: bytes, content_type: str) -> Decoded:
    """Return what is in a request; NotOtlp if it is none, NoProtobuf where that is missing."""
    message = _of_json(body) if content_type == JSON else _of_protobuf(body)
    spans: list[tuple[str, Span]] = []
    rejected = 0
    try:
        for service, told in _told(message):
            span = _span(told)
            if span is None:
                rejected += 1
            else:
                spans.append((service, span))
    except (AttributeError, TypeError) as wrong:
        raise NotOtlp("the body is JSON, but not an ExportTraceServiceRequest") from wrong
    return Decoded(tuple(spans), rejected)


def accepted(rejected: int, content_type: str) -> bytes:
    """Return the answer to a request, of whose spans `rejected` were not taken."""
    why = "a span needs a traceId, a spanId, and times in nanoseconds"
    partial = {"rejectedSpans": str(rejected), "errorMessage": why} if rejected else {}
    if content_type == JSON:
        return json.dumps({"partialSuccess": partial} if partial else {}).encode()
    answer = _messages().ExportTraceServiceResponse()
    if partial:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = why
    serialized: bytes = answer.SerializeToString()
    return serialized


def _of_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as wrong:
        raise NotOtlp(f"the body is not JSON: {wrong}") from wrong


def _of_protobuf(body: bytes) -> Mapping[str, Any]:
    messages = _messages()
    try:
        message = messages.ExportTraceServiceRequest.FromString(body)
    except import_module("google.protobuf.message").DecodeError as wrong:
        raise NotOtlp(f"the body is not OTLP's protobuf: {wrong}") from wrong
    return {"resourceSpans": [_resource_spans(each) for each in message.resource_spans]}


def _messages() -> Any:
    try:
        return import_module("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    except ModuleNotFoundError as missing:
        raise NoProtobuf(
            "protobuf is not read here: pip install 'torpor[otlp]', or send application/json"
        ) from missing


def _resource_spans(message: Any) -> Mapping[str, Any]:
    """Return protobuf's message in the shape of JSON's, as far as it is read."""
    return {
        "resource": {"attributes": [_pair(each) for each in message.resource.attributes]},
        "scopeSpans": [
            {"spans": [_span_message(span) for span in scope.spans]}
            for scope in message.scope_spans
        ],
    }


def _span_message(span: Any) -> Mapping[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "parentSpanId": span.parent_span_id.hex(),
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": span.start_time_unix_nano,
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": [_pair(each) for each in span.attributes],
        "status": {"code": span.status.code, "message": span.status.message},
    }


def _pair(pair: Any) -> Mapping[str, Any]:
    kind = pair.value.WhichOneof("value")
    if kind is None:
        return {"key": pair.key, "value": {}}
    head, _, rest = kind.partition("_")
    return {"key": pair.key, "value": {head + rest.capitalize(): getattr(pair.value, kind)}}


def _told(message: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for of_resource in message.get("resourceSpans") or ():
        resource = of_resource.get("resource") or {}
        service = str(_attributes(resource).get("service.name") or _UNNAMED)
        for of_scope in of_resource.get("scopeSpans") or ():
            for span in of_scope.get("spans") or ():
                yield service, span


def _span(told: Mapping[str, Any]) -> Span | None:
    """Return a span, None if it cannot be one."""
    trace_id, span_id = _id(told.get("traceId"), 32), _id(told.get("spanId"), 16)
    start, end = _seconds(told.get("startTimeUnixNano")), _seconds(told.get("endTimeUnixNano"))
    if trace_id is None or span_id is None or start is None or end is None:
        return None
    attributes = _attributes(told)
    status = told.get("status") or {}
    error = str(attributes.get("error.type") or "error") if _is_error(status) else None
    return Span(
        trace_id,
        span_id,
        _id(told.get("parentSpanId"), 16),
        str(told.get("name") or ""),
        _kind(told.get("kind")),
        start,
        end,
        error,
        {name: value for name, value in attributes.items() if name != "error.type"},
    )


def _is_error(status: Mapping[str, Any]) -> bool:
    return status.get("code") in (_FAILED, "STATUS_CODE_ERROR")


def _kind(found: Any) -> Kind:
    return _KINDS.get(found, Kind.INTERNAL) if isinstance(found, int) else Kind.INTERNAL


def _id(found: Any, digits: int) -> str | None:
    """Return an id in lower-case hex, None for none and for one of zeros (W3C Trace Context)."""
    if not isinstance(found, str) or len(found) != digits or not _HEX.fullmatch(found):
        return None
    return found.lower() if int(found, 16) else None


def _seconds(found: Any) -> float | None:
    try:
        nanoseconds = int(found)
    except (TypeError, ValueError, OverflowError):
        return None
    return nanoseconds / _NANOSECONDS if 0 < nanoseconds < 1 << 64 else None


def _attributes(of: Mapping[str, Any]) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {}
    for pair in of.get("attributes") or ():
        value = _value(pair.get("value") or {})
        if value is not None:
            found[str(pair.get("key"))] = value
    return found


def _finite(value: float) -> float:
    if not isfinite(value):
        raise OverflowError
    return value


def _within_64_bits(value: int) -> int:
    if not -(1 << 63) <= value < 1 << 63:
        raise OverflowError
    return value


def _value(value: Mapping[str, Any]) -> str | int | float | None:
    """Return an AnyValue: texts and numbers as they are, lists and maps not at all."""
    for name, read in _VALUES.items():
        if name in value:
            try:
                return read(value[name])
            except (TypeError, ValueError, OverflowError):
                return None
    return None
