"""The HTTP side of the execution API: AWS JSON 1.0 on one path, any Host.

| request | answer |
| --- | --- |
| POST / with `X-Amz-Target: AWSStepFunctions.<call>` | the call's |
| GET /healthz | 200: the process serves |

A request is let in when it is signed with a known key or brings the bearer token; where neither is
configured all are. While PostgreSQL is away calls are refused with 503 and Retry-After.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from torpor.resources.tokens import matches
from torpor.workflows.ledger.base import InvalidToken, LedgerAway
from torpor.workflows.stepfunctions import (
    activities,
    aliases,
    execution_lists,
    executions,
    machine_views,
    machines,
    map_runs,
    state_testing,
    tags,
    tasks,
    validation,
    versions,
)
from torpor.workflows.stepfunctions.errors import Refused, invalid_token
from torpor.workflows.stepfunctions.service import Action, Service
from torpor.workflows.stepfunctions.shapes import check
from torpor.workflows.stepfunctions.sigv4 import Signed, verify

RETRY_AFTER_SECONDS = 1
BODY_SECONDS = 30
"""How long a client may take to send its request."""
CONTENT_TYPE = "application/x-amz-json-1.0"
_TARGET = "AWSStepFunctions."
_log = logging.getLogger(__name__)

ACTIONS: Mapping[str, Action] = {
    **activities.ACTIONS,
    **aliases.ACTIONS,
    **execution_lists.ACTIONS,
    **executions.ACTIONS,
    **machine_views.ACTIONS,
    **machines.ACTIONS,
    **map_runs.ACTIONS,
    **state_testing.ACTIONS,
    **tags.ACTIONS,
    **tasks.ACTIONS,
    **validation.ACTIONS,
    **versions.ACTIONS,
}


class Server:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._secrets = dict(service.settings.credentials)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        self._runner = web.AppRunner(
            self.app(),
            access_log=None,
            handler_cancellation=True,
            auto_decompress=False,  # what is signed is the body as it was sent
            shutdown_timeout=self._service.settings.drain_seconds,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; calls that go on longer than `drain_seconds` are cancelled."""
        if self._runner:
            await self._runner.cleanup()

    def app(self) -> web.Application:
        """The application, for a process that serves it beside something else."""
        app = web.Application(client_max_size=self._service.settings.most_request_bytes)
        app.router.add_post("/", self._call)
        app.router.add_get("/healthz", _healthz)
        return app

    async def _call(self, request: web.Request) -> web.Response:
        request_id = self._service.outside.uuid()
        try:
            answer = await self._answer(request)
        except Refused as refused:
            return _refusal(refused, request_id)
        except InvalidToken:
            return _refusal(invalid_token(), request_id)
        except LedgerAway:
            return _refusal(_AWAY, request_id)
        except Exception:
            _log.exception("call %s failed", request.headers.get("X-Amz-Target"))
            return _refusal(_DEFECT, request_id)
        return _response(HTTPStatus.OK, answer, request_id)

    async def _answer(self, request: web.Request) -> dict[str, Any]:
        body = await _body(request)
        self._let_in(request, body)
        action = _action(request)
        return await action.run(self._service, check(action.shape, _parsed(body)))

    def _let_in(self, request: web.Request, body: bytes) -> None:
        token = self._service.settings.token
        if token is None and not self._secrets:
            return
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token")
        if scheme.lower() == "bearer":
            _check_bearer(token, given.strip())
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        signed = Signed(
            request.method,
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            headers,
            body,
        )
        verify(signed, self._secrets, self._service.outside.now())


def _check_bearer(token: str | None, given: str) -> None:
    if token is None or not matches(token, given):
        message = "The security token included in the request is invalid."
        raise Refused("UnrecognizedClientException", message)


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _body(request: web.Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        message = f"A body with the Content-Encoding '{encoding}' is not taken: send it as it is"
        raise Refused("SerializationException", message)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        message = f"The request did not arrive within {BODY_SECONDS} s"
        raise Refused("RequestTimeoutException", message, HTTPStatus.REQUEST_TIMEOUT) from None
    except web.HTTPRequestEntityTooLarge:
        message = "The request is longer than this installation takes"
        raise Refused("RequestEntityTooLargeException", message, 413) from None


def _action(request: web.Request) -> Action:
    target = request.headers.get("X-Amz-Target", "")
    action = ACTIONS.get(target.removeprefix(_TARGET)) if target.startswith(_TARGET) else None
    if action is None:
        raise Refused("UnknownOperationException", f"Unknown operation: '{target}'")
    return action


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as wrong:
        raise Refused("SerializationException", f"The request is not JSON: {wrong}") from None


def _refusal(refused: Refused, request_id: str) -> web.Response:
    body = {"__type": refused.type, "message": refused.message}
    response = _response(refused.status, body, request_id)
    response.headers["x-amzn-ErrorType"] = refused.code
    if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _response(status: int, body: dict[str, Any], request_id: str) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers={"x-amzn-RequestId": request_id, "Content-Type": CONTENT_TYPE},
    )


_AWAY = Refused(
    "ServiceUnavailable",
    "The ledger cannot be reached: nothing was changed, try again.",
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_DEFECT = Refused(
    "InternalFailure",
    "The request could not be processed because of an unexpected failure.",
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
