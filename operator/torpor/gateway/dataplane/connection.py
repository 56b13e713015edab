"""The listening side of the in-process plane: limits on a request's head, and refusals of its own.

The limits are those of the HAProxy plane, whose buffer takes 15,360 bytes in at most 101 headers,
so that what passes here passes there.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from torpor.gateway.dataplane import problems
from torpor.gateway.dataplane.base import Refused

log = logging.getLogger(__name__)

HEAD_BYTES = 15_360
HEADERS = 101
PARSED_HEADERS = 1_000
"""Beyond them the parser itself gives up, with 400."""
_TARGET_BYTES = HEAD_BYTES - 1  # unequal, for the parser's error tells only the limit
_LINE_BYTES = len(": \r\n")
_OPTIONS: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "max_line_size": _TARGET_BYTES,
    "max_field_size": HEAD_BYTES,
    "max_headers": PARSED_HEADERS,
    "keepalive_timeout": 60.0,
}

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def too_large(request: web.BaseRequest) -> bool:
    """Return whether the request's head is larger than HAProxy would take."""
    first = len(request.method) + len(request.raw_path) + len("  HTTP/1.1\r\n")
    return beyond_limits(request.raw_headers, first)


def beyond_limits(headers: Sequence[tuple[bytes, bytes]], first_line_bytes: int) -> bool:
    """Return whether a head with these headers is larger than HAProxy would take."""
    size = sum(len(name) + len(value) + _LINE_BYTES for name, value in headers)
    return len(headers) > HEADERS or first_line_bytes + size > HEAD_BYTES


class Listener(web.Server):
    """Makes the protocol of each connection; handlers end when their client leaves."""

    def __init__(self, handler: Handler, *, header_seconds: float) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._header_seconds = header_seconds

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, self._header_seconds)


class _Connection(web.RequestHandler):
    """One client's connection: what cannot be parsed is answered with problem details.

    The head of the first request must be there `header_seconds` after the connection, that of
    another as long after its first byte; within 60 s of silence another may begin.
    """

    __slots__ = ("_head_timer", "_header_seconds")

    def __init__(self, server: Listener, header_seconds: float) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **_OPTIONS)
        self._header_seconds = header_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Take what came, and see whether it completes a head."""
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._stop_waiting()
        elif data and self._is_idle() and self._head_timer is None:
            self._await_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._header_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        if self.transport is not None:
            answer = problems.last_words(problems.HEAD_TIMEOUT, secrets.token_hex(16))
            self.transport.write(answer)
        self.force_close()

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
        request._version = HttpVersion11  # of what could not be parsed it is unknown
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
