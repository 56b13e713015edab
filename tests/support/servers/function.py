"""A real HTTP server in a gateway's place: Functions that answer as a test tells them to."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from torpor.triggers.event import Event, from_http


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a Function, `function` being its `namespace/name`."""

    function: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that it brought."""
        return from_http(self.headers, self.body)

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [event.id for event in self.events]


Reply = web.Response | int
Behaviour = Callable[[Call], Reply | Awaitable[Reply]]


@dataclass
class Functions:
    """Where the Functions are, and what was asked of them."""

    behaviour: Behaviour
    url: str = ""
    calls: list[Call] = field(default_factory=list)

    def to(self, function: str) -> list[Call]:
        """The calls of one Function."""
        return [call for call in self.calls if call.function == function]

    @property
    def ids(self) -> list[str]:
        """The ids of all events that came, in the order of their calls."""
        return [name for call in self.calls for name in call.ids]

    async def _called(self, request: web.Request) -> web.Response:
        _, _, namespace, name, *rest = request.path.split("/")
        call = Call(
            f"{namespace}/{name}",
            request.method,
            "/" + "/".join(rest),
            request.headers.copy(),
            await request.read(),
        )
        self.calls.append(call)
        reply = self.behaviour(call)
        if inspect.isawaitable(reply):
            reply = await reply
        return web.Response(status=reply) if isinstance(reply, int) else reply


@contextlib.asynccontextmanager
async def functions(
    behaviour: Behaviour = lambda _: 204, port: int = 0
) -> AsyncIterator[Functions]:
    """Serve until the end of the block; handlers go on when their client leaves, as real ones."""
    found = Functions(behaviour)
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/function/{rest:.*}", found._called)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()
