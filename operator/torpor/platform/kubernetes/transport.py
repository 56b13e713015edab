"""One HTTP exchange with the API server: pace, deadlines, retries, typed errors, metrics.

What may be repeated is decided per call: a create whose answer got lost might have happened, so
it is repeated only when it certainly did not.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from torpor import errors
from torpor.platform.kubernetes.config import Access
from torpor.platform.kubernetes.throttle import Backoff, Random, TokenBucket
from torpor.telemetry import metrics

JSON = "application/json"
_NAMESPACE_ENDING = "NamespaceTerminating"
RETRY_BACKOFF = Backoff(first_seconds=0.2, most_seconds=5.0)
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API. `verb` is its name in metrics.

    `repeatable` says that doing it twice is the same as doing it once.
    """

    verb: str
    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON
    accept: str = JSON
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of every call: one attempt, all attempts together, and the pace over all calls.

    The pace is what an API server on one core answers; it has limits of its own for the rest.
    """

    attempt_seconds: float = 10.0
    total_seconds: float = 30.0
    attempts: int = 6
    backoff: Backoff = RETRY_BACKOFF
    rate_per_second: float = 300.0
    burst: int = 300


class Transport:
    """Sends calls over one pool of connections. Made inside the running event loop."""

    def __init__(
        self,
        access: Access,
        limits: Limits,
        *,
        agent: str = "torpor",
        rand: Random = random.random,
    ) -> None:
        self._access = access
        self._limits = limits
        self._random = rand
        self._bucket = TokenBucket(limits.rate_per_second, limits.burst)
        connector = aiohttp.TCPConnector(limit=0, ssl=access.tls or True)
        self._session = aiohttp.ClientSession(connector=connector, headers={"User-Agent": agent})

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, call: Call) -> Body:
        """Return the answer's JSON; ApiError as the tree in `torpor.errors` says."""
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                return await self._attempts(call)
        except TimeoutError:
            text = f"{call.method} {call.path}: not done in {self._limits.total_seconds:g} s"
            raise errors.ApiUnavailable(0, "Timeout", text) from None

    async def lines(self, call: Call, inactivity_seconds: float) -> AsyncGenerator[bytes]:
        """Yield the lines of a streamed answer until the server ends it.

        Raises ApiUnavailable when the stream breaks or is silent for `inactivity_seconds`. Made
        once: the caller knows where to go on.
        """
        await self._bucket.take()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.attempt_seconds):
                answer = await self._open(call)
            self._count(call, str(answer.status), None)
            async with answer:
                async with asyncio.timeout(self._limits.attempt_seconds):
                    await _refuse(answer)
                async with aclosing(_split(answer.content, inactivity_seconds)) as lines:
                    async for line in lines:
                        yield line
        except TimeoutError:
            waited = time.monotonic() - started
            text = f"{call.path}: silent; given up after {waited:.0f} s"
            raise errors.ApiUnavailable(0, "Stalled", text) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(call, error) from error

    async def _attempts(self, call: Call) -> Body:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self._attempt(call)
            except _Again as again:
                if attempt >= self._limits.attempts or not (call.repeatable or again.untouched):
                    raise again.error from None
                wait = self._limits.backoff.delay(attempt, self._random)
                delay = max(wait, again.error.retry_after_seconds)
            await asyncio.sleep(delay)

    async def _attempt(self, call: Call) -> Body:
        await self._bucket.take()
        started = time.monotonic()
        code = "0"
        try:
            async with asyncio.timeout(self._limits.attempt_seconds):
                async with await self._open(call) as answer:
                    code = str(answer.status)
                    await _refuse(answer)
                    return json.loads(await answer.read())  # type: ignore[no-any-return]
        except errors.ApiUnavailable as error:
            raise _Again(error, untouched=error.status == 429) from error
        except (aiohttp.ClientConnectorError, ConnectionRefusedError) as error:
            raise _Again(_broken(call, error), untouched=True) from error
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _Again(_broken(call, error), untouched=False) from error
        finally:
            self._count(call, code, time.monotonic() - started)

    async def _open(self, call: Call) -> aiohttp.ClientResponse:
        answer = await self._request(call)
        if answer.status != 401:
            return answer
        answer.release()
        await self._access.credentials.refresh()
        return await self._request(call)

    async def _request(self, call: Call) -> aiohttp.ClientResponse:
        headers = {"Accept": call.accept, **self._access.credentials.headers()}
        data = None
        if call.body is not None:
            headers["Content-Type"] = call.content_type
            data = json.dumps(call.body, separators=(",", ":")).encode()
        return await self._session.request(
            call.method,
            self._access.server + call.path,
            params=call.params,
            headers=headers,
            data=data,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            allow_redirects=False,
        )

    def _count(self, call: Call, code: str, seconds: float | None) -> None:
        metrics.API_REQUESTS.labels(call.verb, code).inc()
        if seconds is not None:
            metrics.API_SECONDS.labels(call.verb).observe(seconds)


class _Again(Exception):
    """An attempt failed in a way that another may mend; `untouched`: nothing can have happened."""

    def __init__(self, error: errors.ApiUnavailable, *, untouched: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.untouched = untouched


async def _refuse(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 300:
        return
    error = error_of(answer.status, await answer.read())
    if isinstance(error, errors.ApiUnavailable):
        error.retry_after_seconds = _seconds(answer.headers.get("Retry-After", ""))
    raise error


def error_of(status: int, body: bytes) -> errors.ApiError:
    """Return the error that an answer of `status` with a `Status` object (or any text) means."""
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    reason = str(told.get("reason") or "Unknown")
    message = str(told.get("message") or body[:200].decode(errors="replace"))
    if status == 403 and _NAMESPACE_ENDING in _causes(told):
        return errors.ApiNamespaceEnding(status, reason, message)
    return error_class(status)(status, reason, message)


def error_class(status: int) -> type[errors.ApiError]:
    """Return the class of the error for an HTTP status."""
    if status == 429 or status >= 500:
        return errors.ApiUnavailable
    known = {404: errors.ApiNotFound, 409: errors.ApiConflict, 410: errors.ApiGone}
    return known.get(status, errors.ApiError)


def _causes(told: Mapping[str, Any]) -> set[str]:
    """Return the reasons in a `Status` object's details."""
    details = told.get("details") or {}
    return {str(cause.get("reason")) for cause in details.get("causes") or ()}


def _broken(call: Call, error: Exception) -> errors.ApiUnavailable:
    text = f"{call.method} {call.path}: {str(error) or type(error).__name__}"
    return errors.ApiUnavailable(0, type(error).__name__, text)


def _seconds(text: str) -> float:
    """Return the seconds of a Retry-After header; its other form, a date, counts as absent."""
    return min(60.0, float(text)) if text.isdigit() else 0.0


async def _split(content: aiohttp.StreamReader, inactivity_seconds: float) -> AsyncGenerator[bytes]:
    """Yield whole lines; a rest without a newline was cut off and is dropped.

    `StreamReader.readline` is not used because it refuses lines above 64 KiB, and objects are
    allowed 1.5 MiB.
    """
    parts: list[bytes] = []
    while True:
        async with asyncio.timeout(inactivity_seconds):
            chunk = await content.readany()
        if not chunk:
            break
        head, *rest = chunk.split(b"\n")
        parts.append(head)
        for piece in rest:
            yield b"".join(parts)
            parts = [piece]
