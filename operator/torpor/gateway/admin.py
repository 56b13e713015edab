"""The internal HTTP API of a gateway: for the autoscaler, for announcing instances, for the CLI.

| method and path | who | what |
| --- | --- | --- |
| GET /v1/load | internal token | `GatewayLoad` |
| POST /v1/park {"function"} | internal token | `ParkAnswer`, after at most a second |
| POST /v1/settle {"function", "scaled"} | internal token | 204 |
| GET /v1/functions/<namespace>/<name> | internal token | the function's state here |
| POST /v1/announce {"function", "port", "instance"?} | the function's token | 204 |

The address that is announced is the connection's own: nobody can announce another. The port must be
the function's own. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from torpor.errors import DataPlaneError, InvalidResource, UnknownFunction
from torpor.gateway.activator import Activator
from torpor.gateway.describe import describe
from torpor.resources.fields import Fields
from torpor.resources.names import FunctionKey
from torpor.resources.problem import problem_details
from torpor.resources.tokens import announce_token, bearer, internal_token, matches
from torpor.telemetry import metrics

MAX_BODY_BYTES = 64 * 1024

_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Admin:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(self, activator: Activator, key: bytes) -> None:
        self._activator = activator
        self._key = key
        self._internal = internal_token(key)
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_problems])
        app.router.add_get("/v1/load", self._known(self._load))
        app.router.add_post("/v1/park", self._known(self._park))
        app.router.add_post("/v1/settle", self._known(self._settle))
        app.router.add_get("/v1/functions/{namespace}/{name}", self._known(self._function))
        app.router.add_post("/v1/announce", self._announce)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    def _known(self, handler: _Handler) -> _Handler:
        async def checked(request: web.Request) -> web.Response:
            if not matches(self._internal, bearer(request.headers.get("Authorization", ""))):
                return problem(
                    HTTPStatus.FORBIDDEN, "forbidden", "The token is not the internal one."
                )
            return await handler(request)

        return checked

    async def _load(self, _: web.Request) -> web.Response:
        return web.json_response(self._activator.load().to_json())

    async def _park(self, request: web.Request) -> web.Response:
        body = await _body(request)
        answer = await self._activator.park(_function(body))
        return web.json_response(answer.to_json())

    async def _settle(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if not body.has("scaled"):
            raise InvalidResource("body.scaled", "is required")
        self._activator.settle(_function(body), scaled=body.boolean("scaled", default=False))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _function(self, request: web.Request) -> web.Response:
        key = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        if self._activator.terms(key) is None:
            raise UnknownFunction(f"There is no function {key}.")
        return web.json_response(describe(self._activator, key))

    async def _announce(self, request: web.Request) -> web.Response:
        body = await _body(request)
        key, port = _function(body), body.integer("port", 0, low=1, high=65535)
        terms = self._activator.terms(key)
        # A function that is not known yet and a wrong token are answered alike: nothing is told.
        if terms is None or not matches(
            announce_token(self._key, terms.uid), bearer(request.headers.get("Authorization", ""))
        ):
            metrics.ANNOUNCEMENTS.labels("refused").inc()
            return problem(HTTPStatus.FORBIDDEN, "forbidden", "The token is not this function's.")
        if port != terms.port:
            metrics.ANNOUNCEMENTS.labels("refused").inc()
            raise InvalidResource("body.port", f"{key} listens on {terms.port}, not on {port}")
        address = _peer(request)
        if address is None:
            return problem(HTTPStatus.BAD_REQUEST, "no-address", "The connection has no address.")
        self._activator.announced(key, (address, port), body.optional_text("instance"))
        metrics.ANNOUNCEMENTS.labels("accepted").inc()
        return web.Response(status=HTTPStatus.NO_CONTENT)


def problem(status: int, code: str, detail: str) -> web.Response:
    """Return a problem details answer."""
    return web.Response(
        status=status,
        text=json.dumps(problem_details(status, code, detail)),
        content_type="application/problem+json",
    )


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except InvalidResource as error:
        return problem(HTTPStatus.BAD_REQUEST, error.code, str(error))
    except UnknownFunction as error:
        return problem(HTTPStatus.NOT_FOUND, error.code, str(error))
    except DataPlaneError as error:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error))
    except web.HTTPException as error:
        return problem(error.status, "http", error.reason)


async def _body(request: web.Request) -> Fields:
    try:
        return Fields(json.loads(await request.read()), "body")
    except ValueError as error:
        raise InvalidResource("body", f"is not JSON: {error}") from None


def _function(body: Fields) -> FunctionKey:
    text = body.required_text("function")
    try:
        return FunctionKey.parse(text)
    except ValueError as error:
        raise InvalidResource("body.function", str(error)) from None


def _peer(request: web.Request) -> str | None:
    """Return the other end's address, an IPv4 one as such also on an IPv6 socket."""
    if request.remote is None:
        return None
    return request.remote.removeprefix("::ffff:")
