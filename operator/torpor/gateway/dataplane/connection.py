"""The listening side of the in-process plane: limits on a request's head, and refusals of its own.

The limits are those of the HAProxy plane, whose buffer takes 15,360 bytes in at most 101 headers,
so that what passes here passes there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from torpor.gateway.dataplane import problems
from torpor.gateway.dataplane.base import Refused

log = logging.getLogger(__name__)

HEAD_BYTES = 15_360
HEADERS = 101
_TARGET_BYTES = HEAD_BYTES - 1  # unequal, for the parser's error tells only the limit
_PARSED_HEADERS = 1_000  # beyond them the parser itself gives up, with 400
_LINE_BYTES = len(": \r\n")
_OPTIONS: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "max_line_size": _TARGET_BYTES,
    "max_field_size": HEAD_BYTES,
    "max_headers": _PARSED_HEADERS,
}

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def too_large(request: web.BaseRequest) -> bool:
    """Return whether the request's head is larger than HAProxy would take."""
    headers = request.raw_headers
    size = sum(len(name) + len(value) + _LINE_BYTES for name, value in headers)
    first = len(request.method) + len(request.raw_path) + len("  HTTP/1.1\r\n")
    return len(headers) > HEADERS or first + size > HEAD_BYTES


class Listener(web.Server):
    """Makes the protocol of each connection; handlers end when their client leaves."""

    def __init__(self, handler: Handler) -> None:
        super().__init__(handler, handler_cancellation=True)

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **_OPTIONS)


class _Connection(web.RequestHandler):
    """One client's connection: what cannot be parsed is answered with problem details."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what went wrong; the connection is closed after it."""
        del status, message
        refused = _refusal(exc)
        if refused is problems.INTERNAL:
            log.error("a request from %s failed", request.remote, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, so that there can be no other")
        answer = problems.problem(refused, secrets.token_hex(16))
        answer.force_close()
        return answer


def _refusal(error: BaseException | None) -> Refused:
    if isinstance(error, LineTooLong):
        is_target = _TARGET_BYTES in error.args
        return problems.TARGET_TOO_LONG if is_target else problems.HEADERS_TOO_LARGE
    if isinstance(error, HttpProcessingError):
        return problems.bad_request(error.message)
    return problems.INTERNAL
