"""Asynchronous calls of Functions, as the gateways hand them over.

POST /v1/namespaces/<namespace>/functions/<name>/calls, with the installation's internal token,
answers 202 once the call is in the inbox of the Function. That inbox is a definition which the
first call makes from what the gateway knows of the Function (`implied.py`); a Function that nobody
calls so has none. The result is at …/calls/<id>, as that of a Trigger's call. Requests with one
`Idempotency-Key` are one call (`repeats.py`).
"""

from __future__ import annotations

from http import HTTPStatus

import orjson
from aiohttp import web

from torpor.aws.http import read_body
from torpor.errors import InvalidResource
from torpor.resources.asynchronous import AsyncCall, calls_path
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import TOKEN_HEADER, matches
from torpor.triggers.api.cloudevents import traced
from torpor.triggers.api.ingress import Ingress
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.problems import problem
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.call_target import REQUEST
from torpor.triggers.event import Event, make_event
from torpor.triggers.implied import Wish, wishes
from torpor.triggers.inbox import entrance
from torpor.triggers.repeats import Repeats, Request, digest_of, key_of
from torpor.triggers.results import CALL

TYPE = "dev.torpor.function.call"
_PUT_TRIES = 5


class FunctionCalls:
    """The resource."""

    def __init__(self, parts: ApiParts, ingress: Ingress) -> None:
        self._parts = parts
        self._ingress = ingress
        self._repeats = Repeats(parts.connection)

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the resource to an application."""
        router.add_post(calls_path("{namespace}", "{name}"), self._take)

    async def _take(self, request: web.Request) -> web.Response:
        token = self._parts.internal_token
        if not token or not matches(token, request.headers.get(TOKEN_HEADER, "")):
            text = "calls come from a gateway: send the request to one, with Prefer: respond-async"
            return problem(HTTPStatus.FORBIDDEN, "forbidden", text)
        key = FunctionKey(request.match_info["namespace"], request.match_info["name"])
        body = await read_body(request, self._parts.settings.body_seconds)
        try:
            found = AsyncCall.decode(body)
        except (InvalidResource, ValueError, LookupError, TypeError) as error:
            return problem(HTTPStatus.BAD_REQUEST, "bad-request", f"it is no call: {error}")
        asked = _asked(key, found)
        definition = [await self._in_force(key, wish) for wish in wishes(key, found.callee)][-1]

        async def store(call: str) -> None:
            await self._parts.results.open(key.namespace, call, definition.trigger.key.name)
            event = traced(_event(key, call, found), request)
            await self._ingress.to_inbox(entrance(definition.trigger), event)

        call = await self._repeats.once(asked, names.checked(found.id, "call"), store)
        return web.json_response({"id": call}, status=HTTPStatus.ACCEPTED)

    async def _in_force(self, key: FunctionKey, wish: Wish) -> Definition:
        """Return the definition as wished; there is nothing to write from the second call on."""
        known = self._parts.definitions.known.get(FunctionKey(key.namespace, wish.implied.name))
        if known is not None and _is_as_wished(known, wish):
            return known
        for _ in range(_PUT_TRIES):
            try:
                return await self._parts.definitions.put(wish.manifest, wish.facts, wish.implied)
            except WrongRevision:
                continue  # another replica put it at the same time
        raise BrokerAway(f"the inbox of {key} is being changed by others all the time")


def _is_as_wished(known: Definition, wish: Wish) -> bool:
    found = (known.implied, dict(known.manifest), dict(known.facts))
    return found == (wish.implied, dict(wish.manifest), dict(wish.facts))


def _asked(key: FunctionKey, call: AsyncCall) -> Request:
    digest = digest_of(call.method, call.path, call.body)
    return Request(key, f"function {call.callee.uid}", key_of(call.headers), digest)


def _event(key: FunctionKey, call: str, found: AsyncCall) -> Event:
    request = {
        "method": found.method,
        "path": found.path,
        "headers": dict(found.headers),
        "id": found.request_id,
    }
    return make_event(
        id=call,
        source=f"/namespaces/{key.namespace}/functions/{key.name}",
        type=TYPE,
        datacontenttype="application/octet-stream",
        data=found.body,
        extensions={REQUEST: orjson.dumps(request).decode(), CALL: call},
    )
