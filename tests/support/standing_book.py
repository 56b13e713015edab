"""The internal API of an events role that has no broker: what is put is in force, in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from torpor.resources.names import FunctionKey
from torpor.resources.tokens import internal_token
from torpor.triggers.idle import IDLE_PATH, IdleInbox
from torpor.triggers.lags import LAG_PATH, lags_to_json
from torpor.triggers.standings import (
    INVALID_TRIGGER,
    PATH,
    Standing,
    Wanted,
)

Lags = dict[FunctionKey, dict[str, float]]


@dataclass
class StandingBook:
    """The Triggers in force; tests change their standings and make it fail."""

    secret: bytes = b"k" * 32
    away: bool = False
    refusal: str = ""
    lost: str = ""
    wanted: dict[FunctionKey, Wanted] = field(default_factory=dict)
    standings: dict[FunctionKey, Standing] = field(default_factory=dict)
    lags: Lags = field(default_factory=dict)
    idle: list[IdleInbox] = field(default_factory=list)
    puts: int = 0
    url: str = ""

    def change(self, key: FunctionKey, **fields: Any) -> None:
        """Have the Trigger's standing be another."""
        self.standings[key] = replace(self.standings[key], **fields)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve on a free port; yield the URL."""
        app = web.Application()
        one = f"{PATH}/{{namespace}}/{{name}}"
        app.router.add_put(one, self._put)
        app.router.add_delete(one, self._delete)
        app.router.add_get(PATH, self._survey)
        app.router.add_get(LAG_PATH, self._lag)
        app.router.add_get(IDLE_PATH, self._idle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    def _refused(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization")
        if given != f"Bearer {internal_token(self.secret)}":
            return web.json_response({"code": "unauthorized"}, status=401)
        if self.away:
            return web.json_response({"code": "broker-away", "detail": "away"}, status=503)
        return None

    async def _put(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        if self.refusal:
            told = {"code": INVALID_TRIGGER, "detail": self.refusal}
            return web.json_response(told, status=422)
        key, wanted = _key(request), Wanted.from_json(await request.json())
        meta = wanted.object["metadata"]
        standing = Standing(key, meta["uid"], meta["generation"], subscribed=True)
        self.puts += 1
        self.wanted[key], self.standings[key] = wanted, standing
        return web.json_response(standing.to_json())

    async def _delete(self, request: web.Request) -> web.Response:
        if refused := self._refused(request):
            return refused
        self.wanted.pop(_key(request), None)
        self.standings.pop(_key(request), None)
        self.idle = [inbox for inbox in self.idle if inbox.key != _key(request)]
        if self.lost:
            return web.json_response({"lost": self.lost})
        return web.Response(status=204)

    async def _survey(self, request: web.Request) -> web.Response:
        told = {"triggers": [item.to_json() for item in self.standings.values()]}
        return self._refused(request) or web.json_response(told)

    async def _lag(self, request: web.Request) -> web.Response:
        return self._refused(request) or web.json_response(lags_to_json(self.lags))

    async def _idle(self, request: web.Request) -> web.Response:
        told = {"inboxes": [inbox.to_json() for inbox in self.idle]}
        return self._refused(request) or web.json_response(told)


def _key(request: web.Request) -> FunctionKey:
    return FunctionKey(request.match_info["namespace"], request.match_info["name"])
