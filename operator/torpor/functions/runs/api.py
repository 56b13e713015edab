"""The internal HTTP API of runs, served by every replica of the controller to the gateways.

| method and path | what |
| --- | --- |
| POST /v1/runs, a RunRequest | 202 {"id"} |
| GET /v1/runs/<namespace>?function=<name>&key=<idempotency key> | {"id"} of the run that there is |
| GET /v1/runs/<namespace>/<id>?wait=<seconds> | the Run |
| DELETE /v1/runs/<namespace>/<id> | 202: it is being cancelled, or has ended |

Every request shows the internal token. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from torpor.errors import ApiError, UnknownFunction
from torpor.functions.runs.keeper import RunKeeper
from torpor.resources.names import FunctionKey
from torpor.resources.problem import problem_details
from torpor.resources.run import (
    MAX_INPUT_BYTES,
    MAX_WAIT_SECONDS,
    RunRefused,
    RunRequest,
    UnknownRun,
)
from torpor.resources.tokens import TOKEN_HEADER, matches

MAX_BODY_BYTES = 8 * MAX_INPUT_BYTES
"""A character of the input may be six of JSON."""

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class RunsApi:
    """Serves on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(self, keeper: RunKeeper, token: str) -> None:
        """`token` is the internal one."""
        self._keeper = keeper
        self._token = token
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/runs", self._checked(self._start))
        app.router.add_get("/v1/runs/{namespace}", self._checked(self._named))
        app.router.add_get("/v1/runs/{namespace}/{run}", self._checked(self._find))
        app.router.add_delete("/v1/runs/{namespace}/{run}", self._checked(self._cancel))
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; who waits for a run asks another replica."""
        if self._runner:
            await self._runner.cleanup()

    def _checked(self, handler: _Handler) -> _Handler:
        async def checked(request: web.Request) -> web.Response:
            if not matches(self._token, request.headers.get(TOKEN_HEADER, "")):
                text = "The token is not the internal one."
                return _problem(HTTPStatus.FORBIDDEN, "forbidden", text)
            try:
                return await handler(request)
            except (UnknownFunction, UnknownRun) as error:
                return _problem(HTTPStatus.NOT_FOUND, error.code, str(error))
            except RunRefused as error:
                return _problem(error.status, error.code, str(error), error.retry_after_seconds)
            except ApiError as error:
                return _problem(HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error), 1)

        return checked

    async def _start(self, request: web.Request) -> web.Response:
        try:
            asked = RunRequest.from_json(json.loads(await request.read()))
        except (ValueError, LookupError, TypeError) as error:
            return _problem(HTTPStatus.BAD_REQUEST, "bad-request", f"no request: {error}")
        run = await self._keeper.start(asked)
        return web.json_response({"id": run}, status=HTTPStatus.ACCEPTED)

    async def _named(self, request: web.Request) -> web.Response:
        function, key = request.query.get("function", ""), request.query.get("key", "")
        named = FunctionKey(request.match_info["namespace"], function)
        return web.json_response({"id": await self._keeper.named(named, key)})

    async def _find(self, request: web.Request) -> web.Response:
        try:
            seconds = float(request.query.get("wait", "0"))
        except ValueError:
            return _problem(HTTPStatus.BAD_REQUEST, "bad-request", "wait is a number of seconds")
        wait = max(0.0, min(seconds, MAX_WAIT_SECONDS))
        found = await self._keeper.find(*_named(request), wait)
        return web.json_response(found.to_json())

    async def _cancel(self, request: web.Request) -> web.Response:
        await self._keeper.cancel(*_named(request))
        return web.Response(status=HTTPStatus.ACCEPTED)


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["namespace"], request.match_info["run"]


def _problem(status: int, code: str, detail: str, retry_after: int | None = None) -> web.Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(
        status=status,
        text=json.dumps(problem_details(status, code, detail)),
        content_type="application/problem+json",
        headers=headers,
    )
