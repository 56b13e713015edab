"""The dashboard over HTTP: the page, its stream, and what is asked for when something is opened.

| method and path | what |
| --- | --- |
| GET / and /static/… | the page |
| GET /events | snapshots as server-sent events |
| GET /api/snapshot | one snapshot |
| GET /api/executions/<arn> | an execution: its graph, each state as it stands, and its history |
| GET /api/traces, /api/traces/<id> | the latest traces; one as a tree |
| GET /api/triggers/<namespace>/<name>/dead-letters?after=<number> | dead letters of a Trigger |
| POST /api/triggers/<namespace>/<name>/dead-letters/redrive | deliver a stretch of them again |
| GET /api/cost/compare?… | what a load costs here, and always on |
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from torpor.dashboard.encoding import encoded
from torpor.dashboard.gathering import Gathering
from torpor.dashboard.guard import set_headers
from torpor.dashboard.model import to_json
from torpor.dashboard.problems import problems
from torpor.dashboard.sources import NotPossible, Sources
from torpor.dashboard.stream import Stream
from torpor.resources.names import FunctionKey

STATIC = Path(__file__).parent / "static"
MAX_BODY_BYTES = 4 << 20
_WRITE_SECONDS = 60.0
"""A reader that takes no byte for so long is gone."""
_MOST_NUMBER = 18


class Dashboard:
    """Answers for one place's sources; `stream` makes the snapshots that all readers share."""

    def __init__(self, sources: Sources, gathering: Gathering, stream: Stream) -> None:
        self._sources = sources
        self._gathering = gathering
        self._stream = stream

    def application(
        self, guard: Middleware, routes: Iterable[web.RouteDef] = ()
    ) -> web.Application:
        """Return all of it, and `routes` besides, for those whom `guard` lets in."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[problems, guard])
        app.on_response_prepare.append(set_headers)
        app.router.add_get("/", self._index)
        app.router.add_static("/static", STATIC)
        app.router.add_get("/events", self._events)
        app.router.add_get("/api/snapshot", self._snapshot)
        app.router.add_get("/api/executions/{arn:.+}", self._execution)
        app.router.add_get("/api/traces", self._traces)
        app.router.add_get("/api/traces/{id:[0-9a-f]{32}}", self._trace)
        app.router.add_get("/api/cost/compare", self._compare)
        letters = "/api/triggers/{namespace}/{name}/dead-letters"
        app.router.add_get(letters, self._dead_letters)
        app.router.add_post(f"{letters}/redrive", self._redrive)
        app.router.add_routes(routes)
        return app

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        with self._stream.reading() as reader:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):  # who reads no more is told nothing
                async for event in reader.events():
                    async with asyncio.timeout(_WRITE_SECONDS):
                        await response.write(event)
            return response

    async def _snapshot(self, _: web.Request) -> web.Response:
        return _json(to_json(await self._gathering.snapshot()))

    async def _execution(self, request: web.Request) -> web.Response:
        return _json(await self._sources.execution(request.match_info["arn"]))

    async def _traces(self, _: web.Request) -> web.Response:
        return _json({"traces": list(await self._sources.traces())})

    async def _trace(self, request: web.Request) -> web.Response:
        return _json(await self._sources.trace(request.match_info["id"]))

    async def _compare(self, request: web.Request) -> web.Response:
        return _json(await self._sources.compare(request.query))

    async def _dead_letters(self, request: web.Request) -> web.Response:
        after = _number(request, "after")
        return _json(await self._sources.dead_letters(_trigger(request), after))

    async def _redrive(self, request: web.Request) -> web.Response:
        after, last = _number(request, "after"), _number(request, "last")
        return _json(await self._sources.redrive(_trigger(request), after, last))


@asynccontextmanager
async def served(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve an application inside the block; yields the port, a free one for 0. OSError."""
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # the intake of spans unpacks bodies itself
        handler_cancellation=True,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _json(body: Any) -> web.Response:
    return web.Response(body=encoded(body), content_type="application/json")


def _trigger(request: web.Request) -> FunctionKey:
    return FunctionKey(request.match_info["namespace"], request.match_info["name"])


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "0")
    if text.isascii() and text.isdigit() and len(text) <= _MOST_NUMBER:
        return int(text)
    raise NotPossible(f"{name} is the number of a dead letter, not {text[:50]!r}")
