"""`POST /v1/traces`: OTLP over HTTP, from whoever has spans to tell, into a `SpanStore`.

A small part of what a collector is: it keeps what people look at, and hands the bytes on to the
collector that the environment names, if there is one. It unpacks bodies itself, as aiohttp refuses
what it cannot unpack with a traceback in the log: whoever serves it has `auto_decompress=False`.
Source: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable

from aiohttp import web

from torpor.telemetry.bodies import bounded
from torpor.telemetry.otlp_decode import (
    JSON,
    PROTOBUF,
    Decoded,
    NoProtobuf,
    NotOtlp,
    accepted,
    decoded,
)
from torpor.telemetry.otlp_forward import FORWARDED, Batch
from torpor.telemetry.tracing import Keep

PATH = "/v1/traces"
MOST_BYTES = 4 * 1024 * 1024
"""Of a body, packed and unpacked."""
_BODY_SECONDS = 10.0
_AT_ONCE = 8
_PLAIN = ("", "identity")
_PACKED = ("gzip", "deflate")
_ANY_HEAD = 32 + zlib.MAX_WBITS
"""Has zlib take what begins as gzip (RFC 1952), and what begins as "deflate" (RFC 1950)."""
_INVALID = 3
"""`INVALID_ARGUMENT` of google.rpc.Code, which OTLP's errors have beside HTTP's status."""


class _TooLarge(Exception):
    """A body is larger than MOST_BYTES."""


class Intake:
    """Takes trace requests; `keep` gets their spans, `hand_on` what came as it came."""

    def __init__(self, keep: Keep, hand_on: Callable[[Batch], None] | None = None) -> None:
        self._keep = keep
        self._hand_on = hand_on
        self._at_work = 0

    async def post(self, request: web.Request) -> web.Response:
        """Answer as OTLP says: what of it could not be understood, or why it is refused."""
        if request.content_type not in (JSON, PROTOBUF):
            return _refused(415, f"the content type must be {PROTOBUF} or {JSON}")
        if _encoding(request) not in (*_PLAIN, *_PACKED):
            return _refused(415, f"the content encoding must be {' or '.join(_PACKED)}, or none")
        if self._at_work >= _AT_ONCE:
            return _refused(503, "too many requests at once: try again", retry_seconds=1)
        self._at_work += 1
        try:
            return await self._take(request)
        finally:
            self._at_work -= 1

    async def _take(self, request: web.Request) -> web.Response:
        kind, encoding = request.content_type, _encoding(request)
        try:
            packed = await _body(request)
            body, found = await asyncio.to_thread(_read, packed, encoding, kind)
        except TimeoutError:
            return _refused(408, f"the body did not come within {_BODY_SECONDS:g} s")
        except web.RequestPayloadError as broken:
            return _refused(400, f"the body cannot be read: {broken}")
        except _TooLarge:
            return _refused(413, f"a body has at most {MOST_BYTES} bytes, unpacked")
        except NotOtlp as wrong:
            return _refused(400, str(wrong))
        except NoProtobuf as missing:
            return _refused(415, str(missing))
        for service, span in found.spans:
            self._keep(service, span)
        if self._hand_on and FORWARDED not in request.headers:
            self._hand_on(Batch(body, kind, len(found.spans)))
        return web.Response(body=accepted(found.rejected, kind), content_type=kind)


def _encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "").strip().lower()


async def _body(request: web.Request) -> bytes:
    """Return the body as it came; _TooLarge."""
    async with asyncio.timeout(_BODY_SECONDS):
        found = await bounded(request.content, MOST_BYTES)
    if found is None:
        raise _TooLarge
    return found


def _read(packed: bytes, encoding: str, kind: str) -> tuple[bytes, Decoded]:
    """Return the body unpacked, and what is in it; _TooLarge, NotOtlp or NoProtobuf."""
    body = packed if encoding in _PLAIN else _unpacked(packed, encoding)
    return body, decoded(body, kind)


def _unpacked(packed: bytes, encoding: str) -> bytes:
    unpacking = zlib.decompressobj(_ANY_HEAD)
    try:
        body = unpacking.decompress(packed, MOST_BYTES + 1)
    except zlib.error as wrong:
        raise NotOtlp(f"the body cannot be read: it is not {encoding}") from wrong
    if len(body) > MOST_BYTES:
        raise _TooLarge
    if not unpacking.eof or unpacking.unused_data:
        told = "goes on after its end" if unpacking.eof else "has no end"
        raise NotOtlp(f"the body cannot be read: its {encoding} {told}")
    return body


def _refused(status: int, message: str, retry_seconds: int | None = None) -> web.Response:
    headers = {"Retry-After": str(retry_seconds)} if retry_seconds else {}
    if status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not read
    body = json.dumps({"code": _INVALID, "message": message}).encode()
    return web.Response(status=status, body=body, content_type=JSON, headers=headers)
