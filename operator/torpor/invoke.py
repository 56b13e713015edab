"""The one client that invokes a function through the gateway.

A request is sent again only if it certainly never arrived: the connection was refused. Anything
else, also a lost connection, is told to the caller, who knows whether the call may be repeated.
(On a kept connection that the gateway had closed meanwhile, aiohttp itself sends an idempotent
request once more, as RFC 9110 section 9.2.2 allows; never a POST.)
"""

from __future__ import annotations

import asyncio
import errno
import io
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    StreamReader,
    TCPConnector,
)

from torpor.errors import TorporError
from torpor.resources.names import HEADER_DETAIL, HEADER_REQUEST_ID, FunctionKey
from torpor.resources.tokens import detail_token

_LARGE_BYTES = 256 * 1024
_OWN_BYTES = 1 << 20
"""The most that is read of what the gateway tells itself."""


class GatewayAway(TorporError):
    """No gateway took the request, or the connection was lost before the whole answer came."""

    code = "gateway-away"


class GatewayUnreached(GatewayAway):
    """No connection to a gateway could be made: the request was not sent."""

    code = "gateway-unreached"


class InvokeTimeout(TorporError):
    """The answer did not come within the time that the caller gave."""

    code = "invoke-timeout"


class AnswerTooLong(TorporError):
    """The answer's body is longer than the caller takes; the call was done."""

    code = "answer-too-long"


@dataclass(frozen=True, slots=True)
class Timeout:
    """`connect_seconds` bounds one attempt to connect; the caller bounds the whole call."""

    connect_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Retry:
    """What to do when the connection is refused: up to `attempts` in all, pausing in between."""

    attempts: int = 4
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 1.0

    def pause_seconds(self, attempt: int) -> float:
        """Return the pause after the attempt of this number, the first being 1."""
        backoff: float = self.first_pause_seconds * 2 ** (attempt - 1)
        return min(self.longest_pause_seconds, backoff)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has begun."""

    status: int
    headers: Mapping[str, str]
    request_id: str
    _content: StreamReader

    def parts(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; a ClientError within is GatewayAway to the `stream` block."""
        return self._content.iter_any()

    async def read(self, most_bytes: int | None = None) -> bytes:
        """Return the body; AnswerTooLong if it has more than `most_bytes`."""
        if most_bytes is None:
            return await self._content.read()
        body = bytearray()
        async for part in self.parts():
            body += part
            if len(body) > most_bytes:
                raise AnswerTooLong(f"the answer is longer than {most_bytes} bytes")
        return bytes(body)


@dataclass(frozen=True, slots=True)
class Response:
    """What the function answered, or the gateway for it (problem details with a `code`)."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    request_id: str


def _uuid() -> str:
    return str(uuid.uuid4())


@dataclass
class Invoker:
    """Invokes functions at `gateway`, a URL without path; use it as an async context.

    With `key`, the installation's secret, a function that fails answers with the reason, unless the
    headers of a call have a `Torpor-Detail` of their own.
    """

    gateway: str
    key: bytes | None = field(default=None, repr=False, kw_only=True)
    timeout: Timeout = Timeout()
    retry: Retry = Retry()
    new_id: Callable[[], str] = _uuid
    _session: ClientSession | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(limit=0),
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=self.timeout.connect_seconds),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session:
            await self._session.close()

    async def invoke(
        self,
        key: FunctionKey,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> Response:
        """Return the answer to one request of the function; any HTTP status is an answer.

        `path` begins with `/` and may hold a query. GatewayAway when no gateway could be reached
        or the answer was cut off, InvokeTimeout after `timeout_seconds` in all.
        """
        async with self.stream(key, method, path, headers, body, timeout_seconds) as answer:
            content = await answer.read()
            return Response(answer.status, answer.headers, content, answer.request_id)

    @asynccontextmanager
    async def stream(
        self,
        key: FunctionKey,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> AsyncIterator[Answer]:
        """Yield the answer as soon as it begins; `timeout_seconds` bounds all of the block.

        Errors are those of `invoke`.
        """
        complete = {**self._proof(key), **headers}
        path = f"/function/{key}{path}"
        async with self._answered(
            str(key), method, path, complete, body, timeout_seconds
        ) as answer:
            yield answer

    async def ask(self, method: str, path: str, timeout_seconds: float) -> Response:
        """Return the answer to a request without a body at a path of the gateway's own.

        Such is the location of a run. Errors are those of `invoke`, and AnswerTooLong above 1 MiB.
        """
        async with self._answered(path, method, path, {}, b"", timeout_seconds) as answer:
            content = await answer.read(_OWN_BYTES)
            return Response(answer.status, answer.headers, content, answer.request_id)

    @asynccontextmanager
    async def _answered(
        self,
        whom: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
    ) -> AsyncIterator[Answer]:
        request_id = _find(headers, HEADER_REQUEST_ID) or self.new_id()
        others = {k: v for k, v in headers.items() if k.lower() != HEADER_REQUEST_ID.lower()}
        complete = {**others, HEADER_REQUEST_ID: request_id}
        url = f"{self.gateway.rstrip('/')}{path}"
        try:
            async with asyncio.timeout(timeout_seconds):
                opened = await self._open(method, url, complete, body)
                async with opened:
                    yield Answer(opened.status, opened.headers.copy(), request_id, opened.content)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            raise GatewayUnreached(f"{whom} by way of {self.gateway}: {error}") from error
        except TimeoutError:
            raise InvokeTimeout(f"{whom}: no answer within {timeout_seconds:g} s") from None
        except ClientError as error:
            raise GatewayAway(f"{whom} by way of {self.gateway}: {error}") from error

    def _proof(self, function: FunctionKey) -> dict[str, str]:
        return {HEADER_DETAIL: detail_token(self.key, function)} if self.key else {}

    async def _open(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> ClientResponse:
        assert self._session is not None, "use the Invoker as an async context"
        for attempt in range(1, self.retry.attempts + 1):
            try:
                return await self._session.request(
                    method, url, headers=headers, data=_payload(body), allow_redirects=False
                )
            except ClientConnectorError as error:
                if not _refused(error) or attempt == self.retry.attempts:
                    raise
            await asyncio.sleep(self.retry.pause_seconds(attempt))
        raise GatewayAway(f"{self.gateway}: Retry allows no attempt")


def _payload(body: bytes) -> bytes | io.BytesIO:
    """The body as aiohttp wants it: of a large one it writes a part at a time only from a file."""
    return body if len(body) <= _LARGE_BYTES else io.BytesIO(body)


def _find(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def _refused(error: ClientConnectorError) -> bool:
    return error.os_error.errno == errno.ECONNREFUSED
