"""CloudEvents by HTTP, in binary, structured and batched mode, into buses and queues.

| request | answer |
| --- | --- |
| POST /v1/namespaces/<namespace>/buses/<bus>/events | 202 |
| POST /v1/namespaces/<namespace>/queues/<queue>/events | 202 |

202 says that all events are safe: `{"events": [{"id", "source", "duplicate"}]}`. What is sent again
within two minutes under the same id and source is stored once. Nothing is stored of a request that
is refused with 400 or 413; after 503 some may be, and are told as duplicates when it is sent again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from torpor.aws.http import read_body, signed
from torpor.resources.names import FunctionKey
from torpor.triggers.api.ingress import Accepted, Ingress
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.event import Event, from_http

TRACE_HEADER = "traceparent"


class CloudEvents:
    """The two resources."""

    def __init__(self, parts: ApiParts, ingress: Ingress) -> None:
        self._parts = parts
        self._ingress = ingress

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the resources to an application."""
        place = "/v1/namespaces/{namespace}"
        router.add_post(place + "/buses/{name}/events", self._bus)
        router.add_post(place + "/queues/{name}/events", self._queue)

    async def _bus(self, request: web.Request) -> web.Response:
        return await self._take(request, self._ingress.to_bus)

    async def _queue(self, request: web.Request) -> web.Response:
        return await self._take(request, self._ingress.to_queue)

    async def _take(
        self,
        request: web.Request,
        publish: Callable[[FunctionKey, Sequence[Event]], Awaitable[list[Accepted]]],
    ) -> web.Response:
        body = await admitted(request, self._parts)
        events = [traced(event, request) for event in from_http(request.headers, body)]
        key = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        accepted = await publish(key, events)
        told = [
            {"id": each.event.id, "source": each.event.source, "duplicate": each.duplicate}
            for each in accepted
        ]
        return web.json_response({"events": told}, status=HTTPStatus.ACCEPTED)


async def admitted(request: web.Request, parts: ApiParts) -> bytes:
    """Return the body of a request of somebody who may; Refused otherwise."""
    body = await read_body(request, parts.settings.body_seconds)
    parts.settings.access.check(signed(request, body), parts.wall())
    return body


def traced(event: Event, request: web.Request) -> Event:
    """Return the event with the trace of its request, unless it has one of its own."""
    trace = request.headers.get(TRACE_HEADER)
    if trace is None or event.traceparent is not None:
        return event
    return event.with_attributes({TRACE_HEADER: trace[:128]})
