"""One request and its answer between a client and one server, streamed both ways.

Whatever happens before the answer begins is told by `Unreached` or a problem; after that the only
honest thing left is to cut the connection, so that nobody takes half an answer for a whole one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    ServerTimeoutError,
    web,
)
from aiohttp.http_exceptions import LineTooLong
from multidict import CIMultiDict
from yarl import URL

from torpor.gateway.dataplane import forwarding, problems
from torpor.gateway.dataplane.base import Refused, Server
from torpor.gateway.dataplane.connection import beyond_limits
from torpor.resources.names import HEADER_REQUEST_ID

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CONNECT_SECONDS = 1.0


class Unreached(Exception):
    """Nothing of the request was sent: it may go to another instance."""


class Unanswered(Exception):
    """The connection broke before any byte of an answer, and to ask again does no harm."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it is to be forwarded. `extra` goes onto the answer."""

    request: web.BaseRequest
    request_id: str
    target: str
    headers: CIMultiDict[str]
    extra: Mapping[str, str]
    timeout_seconds: float


async def exchange(session: ClientSession, call: Call, server: Server) -> web.StreamResponse:
    """Forward `call` and its answer; Unreached or Unanswered if it may be sent again."""
    try:
        upstream = await session.request(
            call.request.method,
            url_of(server, call.target),
            headers=call.headers,
            data=_body(call.request) if call.request.body_exists else None,
            allow_redirects=False,
            timeout=ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=call.timeout_seconds
            ),
        )
    except ClientConnectorError as error:
        raise Unreached from error
    except ServerTimeoutError:
        return problems.problem(problems.TIMEOUT, call.request_id)
    except (ServerDisconnectedError, ClientOSError) as error:
        if call.request.method in SAFE_METHODS and not call.request.body_exists:
            raise Unanswered from error
        return problems.problem(problems.BROKEN, call.request_id)
    except ClientResponseError as error:
        return problems.problem(_no_answer(error), call.request_id)
    except ClientError:
        return problems.problem(problems.BROKEN, call.request_id)
    try:
        return await _answer(call, upstream)
    finally:
        upstream.release() if upstream.content.at_eof() else upstream.close()


def url_of(server: Server, target: str, scheme: str = "http") -> URL:
    """Return the URL of the request target on the server, its bytes unchanged."""
    host = f"[{server.address}]" if ":" in server.address else server.address
    return URL(f"{scheme}://{host}:{server.port}{target}", encoded=True)


def _no_answer(error: ClientResponseError) -> Refused:
    parser = error.__cause__
    if isinstance(parser, Exception) and isinstance(parser.__cause__, LineTooLong):
        return problems.ANSWER_TOO_LARGE
    return problems.bad_answer(error.message)


async def _answer(call: Call, upstream: ClientResponse) -> web.StreamResponse:
    first = len(f"HTTP/1.1 {upstream.status} {upstream.reason}\r\n")
    if beyond_limits(upstream.raw_headers, first):
        return problems.problem(problems.ANSWER_TOO_LARGE, call.request_id)
    response = web.StreamResponse(
        status=upstream.status,
        reason=upstream.reason,
        headers=forwarding.to_client(upstream.headers),
    )
    response.headers.setdefault(HEADER_REQUEST_ID, call.request_id)
    response.headers.update(call.extra)
    await response.prepare(call.request)
    if call.request.method == "HEAD":
        return response
    try:
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    except (ClientError, ServerTimeoutError, TimeoutError):
        _cut(call.request)
    return response


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    while chunk := await request.content.readany():
        yield chunk


def _cut(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
