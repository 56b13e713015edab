"""Asynchronous HTTP: a request becomes an event of its Trigger, and its result can be fetched.

| request | answer |
| --- | --- |
| any /v1/namespaces/<namespace>/triggers/<name> | 202 with Location; 204: the filter refused it |
| GET /v1/namespaces/<namespace>/calls/<id> | 202 while under way, then the target's answer |

The result of a call of a Function is told with 200 and, of its answer, the headers, the body and
in `Torpor-Status` the status; with a problem as body where it never answered.

The Trigger's source is `http` with `async: true`, or its target is no Function. A request in
CloudEvents' binary or structured mode is that event; any other becomes one of type
`dev.torpor.http.request`, with `source` `/namespaces/<namespace>/triggers/<name>`, the `method`,
`path` (at the gateway) and `query` as attributes and the body as data. The same call is taken once,
with one Location, as long as its result is kept: a CloudEvent of the same `source` and `id`, or
another request with the same `Idempotency-Key` (`repeats.py`).

An http Trigger is an address that whoever reaches the gateway may call, as a Function's is: neither
resource asks for a token or a signature. The result is kept for a day: the status, type and body of
the target's answer, or 502 with a problem when it never answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import orjson
from aiohttp import web

from torpor.aws.http import read_body
from torpor.resources.names import HEADER_PATH, FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.api.cloudevents import traced
from torpor.triggers.api.ingress import Ingress
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.problems import not_allowed, problem
from torpor.triggers.definitions import Definition
from torpor.triggers.event import NO_DATA, Event, Json, MalformedEvent, from_http, make_event
from torpor.triggers.event.media import parse_media_type
from torpor.triggers.implied import function_of
from torpor.triggers.inbox import entrance
from torpor.triggers.repeats import Repeats, Request, digest_of, key_of
from torpor.triggers.results import CALL, Result
from torpor.triggers.wanted import is_direct

TYPE = "dev.torpor.http.request"
STATUS = "Torpor-Status"
"""On the result of a call of a Function: the status that it answered with."""
_POLL_SECONDS = 1
_MOST_QUERY = 8_192
_MOST_PATH = 8_192


class Calls:
    """The two resources."""

    def __init__(self, parts: ApiParts, ingress: Ingress) -> None:
        self._parts = parts
        self._ingress = ingress
        self._repeats = Repeats(parts.connection)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the resources to an application."""
        place = "/v1/namespaces/{namespace}"
        router.add_route("*", place + "/triggers/{name}", self._take)
        router.add_get(place + "/calls/{call}", self._tell)

    async def _take(self, request: web.Request) -> web.Response:
        key = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        definition = self._parts.definitions.known.get(key)
        if definition is None or definition.implied or not _takes_calls(definition.trigger):
            text = f"{key} is no Trigger whose http source is asynchronous"
            return problem(HTTPStatus.NOT_FOUND, "no-such-trigger", text)
        methods = definition.trigger.source.settings.get("methods")
        if methods and request.method not in methods:
            return not_allowed(request, methods)
        body = await read_body(request, self._parts.settings.body_seconds)
        sent = _sent_event(request, body)
        asked = _asked(request, definition.trigger, sent, body)

        def made(call: str) -> Event:
            event = traced(sent or _made_event(request, body, key, call), request)
            return event.with_attributes({CALL: call})

        return await self._accept(definition, asked, made)

    async def _accept(
        self, definition: Definition, asked: Request, made: Callable[[str], Event]
    ) -> web.Response:
        way_in, key = entrance(definition.trigger), definition.trigger.key
        new = self._parts.new_id()
        if not way_in.filter.matches(made(new)):
            return web.Response(status=HTTPStatus.NO_CONTENT)

        async def store(call: str) -> None:
            await self._parts.results.open(key.namespace, call, key.name)
            await self._ingress.to_inbox(way_in, made(call))

        call = await self._repeats.once(asked, new, store)
        location = f"/v1/namespaces/{key.namespace}/calls/{call}"
        body = {"id": call, "location": location}
        return web.json_response(body, status=HTTPStatus.ACCEPTED, headers={"Location": location})

    async def _tell(self, request: web.Request) -> web.Response:
        call = request.match_info["call"]
        result = await self._parts.results.read(request.match_info["namespace"], call)
        if result is None:
            text = f"there is no call {call[:64]!r}, or it was more than a day ago"
            return problem(HTTPStatus.NOT_FOUND, "no-such-call", text)
        function = function_of(result.trigger)
        return _told(result, call) if function is None else _function_told(result, call, function)


def _asked(request: web.Request, trigger: Trigger, sent: Event | None, body: bytes) -> Request:
    """Return what is the same when it is sent again; a CloudEvent is named by source and id."""
    name = key_of(request.headers) if sent is None else f"{sent.source} {sent.id}"
    path = f"{request.headers.get(HEADER_PATH, '')} {request.raw_path}"
    digest = digest_of(request.method, path, body)
    kind = "key" if sent is None else "event"
    return Request(trigger.key, f"{kind} {trigger.uid}", name, digest)


def _takes_calls(trigger: Trigger) -> bool:
    """What no Function answers at once: asynchronous calls, and those for other targets."""
    return trigger.source.kind is SourceKind.HTTP and not is_direct(trigger)


def _sent_event(request: web.Request, body: bytes) -> Event | None:
    if not _is_cloud_event(request.headers):
        return None
    events = from_http(request.headers, body)
    if len(events) != 1:
        raise MalformedEvent("a call is one event: send batches to a bus or a queue")
    return events[0]


def _made_event(request: web.Request, body: bytes, key: FunctionKey, call: str) -> Event:
    content_type = request.headers.get("Content-Type")
    return make_event(
        id=call,
        source=f"/namespaces/{key.namespace}/triggers/{key.name}",
        type=TYPE,
        datacontenttype=content_type,
        data=_data(content_type, body),
        extensions={
            "method": request.method.lower(),
            "path": request.headers.get(HEADER_PATH, "")[:_MOST_PATH] or None,
            "query": request.rel_url.raw_query_string[:_MOST_QUERY] or None,
        },
    )


def _is_cloud_event(headers: Mapping[str, str]) -> bool:
    given = {name.lower() for name in headers}
    content_type = headers.get("Content-Type", "").lower()
    return "ce-specversion" in given or content_type.startswith("application/cloudevents")


def _data(content_type: str | None, body: bytes) -> Json:
    media_type = parse_media_type(content_type or "")
    if not body:
        return NO_DATA
    if media_type is None or not media_type.is_json:
        return body
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedEvent(f"the body is not JSON, as its Content-Type says: {error}") from None


def _function_told(result: Result, call: str, function: str) -> web.Response:
    if not result.ended:
        return _pending({"id": call, "function": function, "status": "pending"})
    if result.status is None or (result.error and not result.body):
        told = problem(HTTPStatus.BAD_GATEWAY, "delivery-failed", result.error or "no answer came")
        told.headers[STATUS] = str(result.status or told.status)
        told.set_status(HTTPStatus.OK)
        return told
    headers = {**result.headers, STATUS: str(result.status)}
    return web.Response(body=result.body, headers=headers)


def _pending(body: Mapping[str, str]) -> web.Response:
    headers = {"Retry-After": str(_POLL_SECONDS)}
    return web.json_response(body, status=HTTPStatus.ACCEPTED, headers=headers)


def _told(result: Result, call: str) -> web.Response:
    if not result.ended:
        return _pending({"id": call, "trigger": result.trigger, "status": "pending"})
    if result.status is None or (result.error and not result.body):
        return problem(HTTPStatus.BAD_GATEWAY, "delivery-failed", result.error or "no answer came")
    content_type = result.content_type or "application/octet-stream"
    headers = {"Content-Type": content_type} if result.body else {}
    return web.Response(status=result.status, body=result.body, headers=headers)
