"""The connections to instances: the limits of an answer's head, and whether an answer had begun.

The limits are those of requests, which are HAProxy's for both directions.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import (
    ClientConnectionError,
    ClientPayloadError,
    ClientSession,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler

from torpor.gateway.dataplane.connection import HEAD_BYTES, PARSED_HEADERS

_IDLE_CONNECTION_SECONDS = 4.0  # below the five of Node's default, so that no POST meets a close
_ADDED_BY_CLIENT = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


def open_session() -> ClientSession:
    """Return a session that adds nothing to a request and repeats none."""
    connector = TCPConnector(limit=0, keepalive_timeout=_IDLE_CONNECTION_SECONDS)
    connector._factory = _new_connection  # type: ignore[assignment]
    session = ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_ADDED_BY_CLIENT,
        max_line_size=HEAD_BYTES,
        max_field_size=HEAD_BYTES,
        max_headers=PARSED_HEADERS,
    )
    # Its own repeats know nothing of other instances, nor that a streamed body is gone.
    session._retry_connection = False
    return session


def _new_connection() -> ResponseHandler:
    return _Connection(asyncio.get_running_loop())


class _Connection(ResponseHandler):
    """Tells a connection that broke within an answer's head from one that broke before it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._begun = False

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for the answer to one more request."""
        self._begun = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._begun = self._begun or bool(data)
        super().data_received(data)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Take the reason why there will be no answer."""
        if self._begun and isinstance(exc, ClientConnectionError):
            exc = ClientPayloadError("the connection broke within the answer")
        super().set_exception(exc, *cause)
