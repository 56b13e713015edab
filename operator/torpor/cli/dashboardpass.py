"""A port of this machine that passes everything on to a dashboard, with the person's own rights.

A browser cannot show the token that a cluster's dashboard asks for. What comes here is guarded as
the dashboard of `torpor dev` is: only pages of this port may use it.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from torpor.cli.cluster import Request, Unreachable
from torpor.cli.dashboardreach import Dashboard
from torpor.dashboard.guard import PAGE_HEADER, on_this_machine, set_headers
from torpor.dashboard.problems import problem

_PASSED = ("Accept", "Content-Encoding", "Content-Type", "Last-Event-ID", PAGE_HEADER)
_RETURNED = ("Content-Type", "Retry-After")
_MOST_BYTES = 1 << 20


def passing(dashboard: Dashboard) -> web.Application:
    """Return an application that passes requests on, and streams the answers back."""

    async def handle(request: web.Request) -> web.StreamResponse:
        wanted = {name: request.headers[name] for name in _PASSED if name in request.headers}
        sent = Request(request.method, request.path_qs, wanted, await request.read() or None)
        response = web.StreamResponse()
        try:
            async with dashboard.send(sent) as answer:
                response.set_status(answer.status)
                response.headers.update(
                    {name: answer.headers[name] for name in _RETURNED if name in answer.headers}
                )
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
        except Unreachable as error:
            if not response.prepared:
                return problem(HTTPStatus.BAD_GATEWAY, error.code, str(error))
            response.force_close()  # the rest does not come: the browser asks again
        return response

    app = web.Application(client_max_size=_MOST_BYTES, middlewares=[on_this_machine()])
    app.on_response_prepare.append(set_headers)
    app.router.add_route("*", "/{path:.*}", handle)
    return app
