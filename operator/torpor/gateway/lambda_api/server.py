"""The HTTP side of the Lambda API, behind the data plane and never reached but through it.

| request | answer |
| --- | --- |
| POST /2015-03-31/functions/NAME/invocations | Invoke: the function's result |
| POST /2021-11-15/functions/NAME/response-streaming-invocations | InvokeWithResponseStream |
| POST /2014-11-13/functions/NAME/invoke-async | InvokeAsync: 202 |
| GET /2015-03-31/functions/, /2015-03-31/functions/NAME | ListFunctions, GetFunction |

A request is let in when it is signed with a known key or brings the bearer token.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from torpor.aws.access import Access
from torpor.aws.errors import Refused
from torpor.aws.http import DEFECT, read_plain_body, signed
from torpor.gateway.lambda_api import errors, views
from torpor.gateway.lambda_api.calls import (
    AsyncCalls,
    Calls,
    Catalog,
    InvocationType,
    NoAsyncCalls,
    check_waits,
    read_call,
)
from torpor.gateway.lambda_api.errors import Later
from torpor.gateway.lambda_api.memory import EACH_BYTES, MEMORY_BYTES, STREAM_BYTES, Memory, Room
from torpor.gateway.lambda_api.names import LATEST, Place
from torpor.gateway.lambda_api.results import Asked
from torpor.gateway.lambda_api.streaming import Streaming
from torpor.gateway.own_server import LARGE_BYTES, OwnServer
from torpor.invoke import Invoker
from torpor.resources.names import HEADER_REQUEST_ID, FunctionKey
from torpor.telemetry import metrics

BODY_SECONDS = 30.0
"""How long a client may take to send its request."""
_JSON = "application/json"
_FUNCTIONS = "/2015-03-31/functions"
_STREAMING = "/2021-11-15/functions/{name}/response-streaming-invocations"
_CAPITALS = ("ResourceNotFoundException", "ServiceException")
"""Errors whose model calls their text `Message`; the others' is `message`."""
_ROOM = web.RequestKey("room", Room)
_Handler = Callable[[web.Request, bytes, str], Awaitable[web.StreamResponse]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API is built from. `access` None: nobody is let in. `memory_bytes`: see `Memory`."""

    catalog: Catalog
    invoker: Invoker
    place: Place
    access: Access | None
    asynchronous: AsyncCalls = field(default_factory=NoAsyncCalls)
    clock: Callable[[], float] = time.time
    memory_bytes: int = MEMORY_BYTES


class LambdaApi(OwnServer):
    """Serves the API until stopped."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._calls = Calls(parts.catalog, parts.invoker, parts.place, parts.asynchronous)
        self._streaming = Streaming(parts.invoker)
        self._memory = Memory(parts.memory_bytes)
        super().__init__(self._application())

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=errors.MOST_BYTES + 1)
        app.router.add_post(f"{_FUNCTIONS}/{{name}}/invocations", self._known(self._invoke))
        app.router.add_post(_STREAMING, self._known(self._stream, STREAM_BYTES))
        old = "/2014-11-13/functions/{name}/invoke-async"
        for path in (old, f"{old}/"):
            app.router.add_post(path, self._known(self._invoke_async))
        for path in (_FUNCTIONS, f"{_FUNCTIONS}/"):
            app.router.add_get(path, self._known(self._list))
        app.router.add_get(f"{_FUNCTIONS}/{{name}}", self._known(self._get))
        app.router.add_route("*", "/{rest:.*}", self._known(_no_operation))
        return app

    def _known(
        self, handler: _Handler, each_bytes: int = EACH_BYTES
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def checked(request: web.Request) -> web.StreamResponse:
            request_id = request.headers.get(HEADER_REQUEST_ID, "")
            try:
                access = self._access_for(request)
                with self._memory.taken(request.content_length, each_bytes) as room:
                    request[_ROOM] = room
                    body = await _body(request)
                    access.check(signed(request, body), self._parts.clock())
                    return await _sent(request, await handler(request, body, request_id))
            except Refused as refused:
                response: web.StreamResponse = _refused(refused)
            except Exception:
                log.exception("a call of the Lambda API failed")
                response = _refused(DEFECT)
            return await _sent(request, response)

        return checked

    def _access_for(self, request: web.Request) -> Access:
        """Return who may come in; whoever shows nothing is refused before anything is read."""
        access = self._parts.access
        if access is None:
            raise errors.closed()
        if "Authorization" not in request.headers:
            access.check(signed(request, b""), self._parts.clock())
        return access

    async def _invoke(self, request: web.Request, body: bytes, request_id: str) -> web.Response:
        call = read_call(self._function(request), request.headers, body, request_id)
        result = await self._calls.do(call, request[_ROOM])
        if call.kind is not InvocationType.REQUEST_RESPONSE:
            return web.Response(status=_STATUSES[call.kind])
        headers = {"X-Amz-Executed-Version": LATEST, "Content-Type": _JSON}
        if result.error:
            headers["X-Amz-Function-Error"] = result.error
        if result.log:
            headers["X-Amz-Log-Result"] = result.log
        # From a file a part is written at a time, as the client takes it: no copy of the whole.
        return web.Response(body=io.BytesIO(result.payload), headers=headers)

    async def _stream(self, request: web.Request, body: bytes, id_: str) -> web.StreamResponse:
        call = read_call(self._function(request), request.headers, body, id_)
        if call.kind is InvocationType.EVENT:
            raise errors.bad_value("InvocationType", "Event", "RequestResponse or DryRun")
        if call.kind is InvocationType.DRY_RUN:
            await self._calls.do(call, request[_ROOM])
            return web.Response(status=HTTPStatus.NO_CONTENT)
        terms = self._calls.terms(call.function)
        check_waits(call.function, terms)
        asked = Asked(self._parts.place.arn(call.function), terms.timeout_seconds)
        return await self._streaming.answer(request, call, terms, asked, request[_ROOM])

    async def _invoke_async(self, request: web.Request, body: bytes, id_: str) -> web.Response:
        kind = InvocationType.EVENT
        call = read_call(self._function(request), request.headers, body, id_, kind)
        await self._calls.do(call, request[_ROOM])
        return _answer({}, HTTPStatus.ACCEPTED)

    async def _list(self, request: web.Request, _: bytes, __: str) -> web.Response:
        asked = request.query.get("MaxItems", str(views.MOST_ITEMS))
        if not asked.isdecimal() or not int(asked):
            raise errors.bad_value("MaxItems", asked, "a number from 1")
        catalog = self._parts.catalog
        most = min(int(asked), views.MOST_ITEMS)
        keys, marker = views.page(catalog.functions(), request.query.get("Marker", ""), most)
        shown = [self._configuration(key) for key in keys]
        return _answer({"Functions": shown, **({"NextMarker": marker} if marker else {})})

    async def _get(self, request: web.Request, _: bytes, __: str) -> web.Response:
        return _answer({"Configuration": self._configuration(self._function(request))})

    def _configuration(self, key: FunctionKey) -> Mapping[str, Any]:
        return views.configuration(key, self._calls.terms(key), self._parts.place)

    def _function(self, request: web.Request) -> FunctionKey:
        name = request.match_info["name"]
        return self._parts.place.read(name, request.query.get("Qualifier"))


_STATUSES = {
    InvocationType.EVENT: HTTPStatus.ACCEPTED,
    InvocationType.DRY_RUN: HTTPStatus.NO_CONTENT,
}


async def _sent(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send an answer to its end: until then it takes memory."""
    if not response.prepared:  # a stream is sent already
        if _ROOM in request and request[_ROOM].size_bytes > LARGE_BYTES:
            response.force_close()
        response.headers["x-amzn-RequestId"] = request.headers.get(HEADER_REQUEST_ID, "")
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
        return response
    return web.Response()  # the caller left: nobody gets this one


def _refused(refused: Refused) -> web.Response:
    metrics.LAMBDA_REFUSED.labels(refused.code).inc()
    return refusal(refused)


def refusal(refused: Refused) -> web.Response:
    """Return the answer to a call that is not done."""
    text = "Message" if refused.code in _CAPITALS else "message"
    fault = "User" if refused.status < HTTPStatus.INTERNAL_SERVER_ERROR else "Service"
    body = {"Type": fault, text: refused.message}
    headers = {"x-amzn-ErrorType": refused.code}
    if isinstance(refused, Later):
        headers["Retry-After"] = str(refused.retry_after_seconds)
        body |= {"Reason": refused.reason} if refused.reason else {}
    return _answer(body, refused.status, headers)


def _answer(
    body: Mapping[str, Any],
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    everything = {**(headers or {}), "Content-Type": _JSON}
    return web.Response(status=status, body=orjson.dumps(body), headers=everything)


async def _body(request: web.Request) -> bytes:
    try:
        return await read_plain_body(request, BODY_SECONDS)
    except Refused as refused:
        if refused.status != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise
        raise errors.too_large(errors.MOST_BYTES, "InvokeFunction") from None


async def _no_operation(request: web.Request, _: bytes, __: str) -> web.Response:
    raise errors.no_operation(request.method, request.path)
