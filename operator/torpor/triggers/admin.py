"""The internal HTTP API of the events role: which Triggers the cluster asks for, and their lag.

| method and path | what |
| --- | --- |
| GET /v1/triggers | how every Trigger in force stands |
| GET /v1/triggers/<namespace>/<name> | how one stands, its object and its target's facts |
| PUT /v1/triggers/<namespace>/<name> | have the Trigger be in force as the body says |
| DELETE /v1/triggers/<namespace>/<name> | have it no longer in force |
| GET /v1/lag | what could be delivered to each Function now |
| GET /v1/events | the latest events of all buses, without their data |
| GET /v1/idle-calls | the inboxes of asynchronous calls with nothing left to do |
| /v1/deadletters, /v1/replay, /v1/test, /v1/audit | `operations.py` |

It is on a port of its own and asks for the installation's internal token, so that whoever may
publish events may not change Triggers. Errors are problem details (RFC 9457) with a `code`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from torpor.errors import InvalidResource, TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import TOKEN_HEADER, bearer, internal_token, matches
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.admission import TriggerInvalid
from torpor.triggers.api.problems import problem, problems
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import WrongRevision
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definition, Definitions
from torpor.triggers.filter.cesql import CesqlError
from torpor.triggers.filter.pattern_error import PatternError
from torpor.triggers.idle import IDLE_PATH
from torpor.triggers.lags import LAG_PATH, lags_to_json
from torpor.triggers.latest import LATEST_PATH, LatestEvents
from torpor.triggers.operations import Operations
from torpor.triggers.standings import INVALID_TRIGGER, PATH, Wanted
from torpor.triggers.survey import Survey
from torpor.triggers.withdrawal import Withdrawal

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 8 << 20
_PUT_TRIES = 5


class EventsAdmin:
    """Serves the API on one port until stopped. Port 0 takes a free one: see `port`."""

    def __init__(
        self,
        key: bytes,
        definitions: Definitions,
        streams: Streams,
        survey: Survey,
        operations: Operations,
        withdrawal: Withdrawal,
        latest: LatestEvents,
    ) -> None:
        self._token = internal_token(key)
        self._definitions = definitions
        self._streams = streams
        self._survey = survey
        self._operations = operations
        self._withdrawal = withdrawal
        self._latest = latest
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen on `host:port`; OSError if it is taken."""
        app = web.Application(
            client_max_size=MAX_BODY_BYTES,
            middlewares=[problems, self._only_with_token, _refusals],
        )
        app.router.add_get(PATH, self._list)
        app.router.add_get(PATH + "/{namespace}/{name}", self._show)
        app.router.add_put(PATH + "/{namespace}/{name}", self._put)
        app.router.add_delete(PATH + "/{namespace}/{name}", self._delete)
        app.router.add_get(LAG_PATH, self._lag)
        app.router.add_get(IDLE_PATH, self._idle)
        app.router.add_get(LATEST_PATH, self._events)
        self._operations.add_routes(app.router)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close the port."""
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _only_with_token(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(TOKEN_HEADER) or bearer(
            request.headers.get("Authorization", "")
        )
        if not matches(self._token, given):
            return problem(HTTPStatus.FORBIDDEN, "forbidden", "the internal token is missing")
        return await handler(request)

    async def _list(self, _: web.Request) -> web.Response:
        found = await self._survey.standings()
        return web.json_response({"triggers": [standing.to_json() for standing in found]})

    async def _show(self, request: web.Request) -> web.Response:
        definition = await self._definitions.get(_key(request))
        if definition is None:
            text = f"there is no Trigger {_key(request)} in force"
            return problem(HTTPStatus.NOT_FOUND, "no-such-trigger", text)
        standing = await self._survey.standing(definition)
        found = {
            "object": dict(definition.manifest),
            "function": dict(definition.facts) or None,
            "standing": standing.to_json(),
        }
        return web.json_response(found)

    async def _put(self, request: web.Request) -> web.Response:
        wanted = Wanted.from_json(await request.json())
        trigger = self._operations.admit(_key(request), wanted.object)
        facts = wanted.function.to_json() if wanted.function else {}
        definition = await self._have(wanted.object, facts)
        if trigger.source.kind is SourceKind.QUEUE:
            queue = str(trigger.source.settings.get("name", ""))
            stream = names.queue_stream(trigger.key.namespace, queue)
            await self._streams.delete_receivers(stream)
        return web.json_response((await self._survey.standing(definition)).to_json())

    async def _have(self, obj: Mapping[str, object], facts: Mapping[str, object]) -> Definition:
        for _ in range(_PUT_TRIES):
            try:
                return await self._definitions.put(obj, facts)
            except WrongRevision:
                continue  # a controller that just lost its lease put it at the same time
        return await self._definitions.put(obj, facts)

    async def _delete(self, request: web.Request) -> web.Response:
        key = _key(request)
        definition = await self._definitions.get(key)
        if definition is not None:
            dropped = await self._dropped(definition)
            if dropped and definition.implied is not None:
                text = f"{dropped} calls or ends of calls wait in {key}: it goes when it is empty"
                return problem(HTTPStatus.CONFLICT, "not-empty", text)
            await self._withdrawal.withdraw(definition.trigger)
            if dropped:
                return web.json_response({"lost": _told_lost(definition.trigger, dropped)})
        return web.Response(status=HTTPStatus.NO_CONTENT)

    async def _dropped(self, definition: Definition) -> int:
        """How many events go with a Trigger; those of a queue stay in it."""
        if definition.trigger.source.kind is SourceKind.QUEUE:
            return 0
        standing = await self._survey.standing(definition)
        return standing.lag + standing.waiting

    async def _lag(self, _: web.Request) -> web.Response:
        return web.json_response(lags_to_json(await self._survey.lags()))

    async def _idle(self, _: web.Request) -> web.Response:
        found = await self._survey.idle_calls()
        return web.json_response({"inboxes": [inbox.to_json() for inbox in found]})

    async def _events(self, _: web.Request) -> web.Response:
        found = await self._latest.look()
        return web.json_response({"events": [event.to_json() for event in found]})


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (TriggerInvalid, InvalidResource) as error:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, INVALID_TRIGGER, str(error))
    except (PatternError, CesqlError) as error:
        return problem(HTTPStatus.BAD_REQUEST, error.code, str(error))
    except TorporError:
        raise
    except KeyError as error:
        return problem(HTTPStatus.BAD_REQUEST, "bad-request", f"the request has no {error}")
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        return problem(HTTPStatus.BAD_REQUEST, "bad-request", str(error))


def _told_lost(trigger: Trigger, events: int) -> str:
    """Say in the log what goes with a deleted Trigger, and return it for the controller."""
    text = f"the Trigger was deleted, and {events} events that waited for it are dropped"
    fields: dict[str, object] = {"trigger": str(trigger.key), "events": events}
    if trigger.source.kind is SourceKind.BUS:
        bus = f"{trigger.key.namespace}/{trigger.source.settings.get('name')}"
        hint = f"torpor replay {bus} --trigger NAME gives them to another Trigger of it"
        fields["hint"], text = hint, f"{text}; {hint}"
    log.warning(
        "a Trigger was deleted, and events that waited for it are dropped",
        extra={"fields": fields},
    )
    return text


def _key(request: web.Request) -> FunctionKey:
    return FunctionKey(request.match_info["namespace"], request.match_info["name"])
