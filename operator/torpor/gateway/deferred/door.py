"""Requests that nobody waits for, behind the data plane.

They prefer `respond-async` (RFC 7240 section 4.1), or they start or tell of runs: of those see
`gateway.runs.door`. The data plane names the function in X-Torpor-Function, and passes on the path
that it is to see. The answer is 202 with the Location of the result, once the events role has
stored the call; else a problem (RFC 9457).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from aiohttp import web

from torpor.errors import TorporError, UnknownFunction
from torpor.gateway.dataplane import problems
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.dataplane.forwarding import HOP_BY_HOP
from torpor.gateway.deferred.callee import callee_of
from torpor.gateway.deferred.handover import (
    CallRefused,
    EventsRoleAway,
    Handover,
    NoEventsRole,
)
from torpor.gateway.lambda_api.calls import Catalog
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.own_server import LARGE_BYTES, OwnServer
from torpor.gateway.runs.base import NoRuns, Runs, RunsAway
from torpor.gateway.runs.door import RunsDoor
from torpor.resources.asynchronous import MAX_BODY_BYTES, UNAVAILABLE, AsyncCall, result_path
from torpor.resources.names import (
    HEADER_DETAIL,
    HEADER_FUNCTION,
    HEADER_REQUEST_ID,
    FunctionKey,
)
from torpor.resources.run import RUNS_PREFIX, RunRefused, UnknownRun

BODY_SECONDS = 30.0
MEMORY_BYTES = 128 << 20
"""What the bodies of all calls that are handed over now may take together."""
_COPIES = 2
"""Of a body there is the one that came and the one that is sent."""
_PREFERENCE = "respond-async"
_NOT_PASSED = HOP_BY_HOP | {"content-length", "expect", "host", "prefer", "torpor-detail"}
_BUSY = Refused(503, UNAVAILABLE, "too many large calls are being taken: send it again", 1)
_TOO_LARGE = Refused(
    413, "request-too-large", f"an asynchronous call's body is at most {MAX_BODY_BYTES} bytes"
)
_TOO_SLOW = Refused(408, "bad-request", f"the body did not come within {BODY_SECONDS:g} s")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the door is built from; `new_id` gives ids that nobody can guess."""

    catalog: Catalog
    handover: Handover
    place: Place
    new_id: Callable[[], str]
    memory_bytes: int = MEMORY_BYTES
    runs: Runs = field(default_factory=NoRuns)


class AsyncDoor(OwnServer):
    """Serves until stopped; calls that are not handed over by then are cancelled."""

    def __init__(self, parts: Parts, runs: RunsDoor | None = None) -> None:
        """`runs` answers for runs, where more is told of them than every gateway tells."""
        self._parts = parts
        self._runs = runs or RunsDoor(parts.runs, parts.new_id)
        self._left_bytes = parts.memory_bytes
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{rest:.*}", self._counted)
        super().__init__(app)

    async def _counted(self, request: web.Request) -> web.Response:
        """Answer a request while there is room for its body."""
        request_id = request.headers.get(HEADER_REQUEST_ID, "")
        size = min(request.content_length or MAX_BODY_BYTES, MAX_BODY_BYTES)
        size = size * _COPIES if request.can_read_body else 0
        if size > self._left_bytes:
            return problems.problem(_BUSY, request_id)
        self._left_bytes -= size
        try:
            response = await self._answer(request, request_id)
        finally:
            self._left_bytes += size
        if size > LARGE_BYTES:
            response.force_close()
        return response

    async def _answer(self, request: web.Request, request_id: str) -> web.Response:
        try:
            return await self._take(request, request_id)
        except TorporError as error:
            return problems.problem(_refused(error), request_id)
        except web.HTTPRequestEntityTooLarge:
            return problems.problem(_TOO_LARGE, request_id)
        except TimeoutError:
            return problems.problem(_TOO_SLOW, request_id)
        except Exception:
            log.exception("an asynchronous call could not be taken")
            return problems.problem(problems.INTERNAL, request_id)

    async def _take(self, request: web.Request, request_id: str) -> web.Response:
        if request.path.startswith(RUNS_PREFIX):
            return await self._runs.answer(request, request_id)
        key = FunctionKey.parse(request.headers.get(HEADER_FUNCTION, ""))
        terms = self._parts.catalog.terms(key)
        if terms is None:
            raise UnknownFunction(f"there is no function {key}")
        if terms.is_job:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._runs.start(request, key, request_id)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return problems.problem(_TOO_LARGE, request_id)
        async with asyncio.timeout(BODY_SECONDS):
            body = await request.read()
        found = AsyncCall(
            id=self._parts.new_id(),
            request_id=request_id,
            method=request.method,
            path=request.raw_path,
            headers=_passed(request.headers),
            body=body,
            callee=callee_of(key, terms, self._parts.place),
        )
        call = await self._parts.handover.take(key, found)
        return _accepted(result_path(key.namespace, call), call, request_id)


def _passed(headers: Mapping[str, str]) -> Mapping[str, str]:
    """What the function is to see; it shows the caller no more than if he had waited."""
    kept: dict[str, str] = {}
    for given, value in headers.items():
        name, lower = str(given), given.lower()
        if lower not in _NOT_PASSED and not lower.startswith("x-torpor-"):
            text = value.encode(errors="replace").decode()  # JSON holds no bytes that are no text
            separator = "; " if lower == "cookie" else ", "
            kept[name] = f"{kept[name]}{separator}{text}" if name in kept else text
    return {**kept, HEADER_DETAIL: "none"}


def _accepted(location: str, call: str, request_id: str) -> web.Response:
    headers = {
        "Location": location,
        "Preference-Applied": _PREFERENCE,
        HEADER_REQUEST_ID: request_id,
    }
    body = orjson.dumps({"id": call, "location": location})
    return web.Response(
        status=HTTPStatus.ACCEPTED, body=body, headers=headers, content_type="application/json"
    )


def _refused(error: TorporError) -> Refused:
    if isinstance(error, CallRefused):
        return Refused(error.status, error.code, str(error))
    if isinstance(error, NoEventsRole):
        return Refused(HTTPStatus.NOT_IMPLEMENTED, error.code, str(error))
    if isinstance(error, EventsRoleAway):
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error), 1)
    if isinstance(error, RunsAway):
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error), 1)
    if isinstance(error, RunRefused):
        return Refused(error.status, error.code, str(error), error.retry_after_seconds)
    if isinstance(error, UnknownRun):
        return Refused(HTTPStatus.NOT_FOUND, error.code, str(error))
    if isinstance(error, UnknownFunction):
        return problems.NOT_FOUND
    raise error
