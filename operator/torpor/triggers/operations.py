"""What people ask of the events role besides Triggers: dead letters, replays, trials, audits.

These are resources of the internal API (`admin.py`). Long work is done in stretches: an answer has
`after`, with which the next request goes on, until it is null. A redrive's has `last` too, which
goes with it: what comes back meanwhile is not sent again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Filter, SourceKind, Trigger
from torpor.triggers.activity import Activity
from torpor.triggers.admission import TriggerInvalid
from torpor.triggers.api.problems import problem
from torpor.triggers.audit import audit
from torpor.triggers.broker import names
from torpor.triggers.broker.objects import Objects
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.delivery.deadletters import MOST_LISTED, DeadLetters, Selection
from torpor.triggers.delivery.replay import Replay, ReplayRequest
from torpor.triggers.trial import attempt, event_of

STRETCH_SECONDS = 10.0
"""How long one request may work at most, at the rate that it asks for."""
MOST_PER_SECOND = 10_000.0
_RATE_PER_SECOND = 100.0
_MOST_A_STRETCH = 10_000

Admit = Callable[[FunctionKey, Mapping[str, Any]], Trigger]


@dataclass(frozen=True, slots=True)
class Operations:
    """The resources. `wall` is Unix time; `admit` refuses a Trigger with TriggerInvalid."""

    definitions: Definitions
    streams: Streams
    dead_letters: DeadLetters
    replay: Replay
    activity: Activity
    admit: Admit
    wall: Callable[[], float]
    objects: Objects

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the resources to an application."""
        router.add_get("/v1/deadletters", self._list)
        router.add_get("/v1/deadletters/{seq:[0-9]{1,18}}", self._show)
        router.add_get("/v1/deadletters/{seq:[0-9]{1,18}}/data", self._data)
        router.add_delete("/v1/deadletters", self._purge)
        router.add_post("/v1/deadletters/redrive", self._redrive)
        router.add_post("/v1/replay", self._replay)
        router.add_post("/v1/test", self._test)
        router.add_get("/v1/audit", self._audit)

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        limit = min(int(query.get("limit", "100")), MOST_LISTED)
        after = int(query.get("after", "0"))
        selection = _selection(query)
        page = await self.dead_letters.list(selection, limit, after)
        if not (page.letters or after) and await self._knows_nothing_of(selection):
            return _no_such_trigger(selection)
        letters = [letter.to_json() for letter in page.letters]
        return web.json_response({"letters": letters, "after": page.after})

    async def _show(self, request: web.Request) -> web.Response:
        letter = await self.dead_letters.get(int(request.match_info["seq"]))
        if letter is None:
            text = f"there is no dead letter {request.match_info['seq']}"
            return problem(HTTPStatus.NOT_FOUND, "no-such-dead-letter", text)
        return web.json_response(letter.to_json())

    async def _data(self, request: web.Request) -> web.StreamResponse:
        """The bytes that a dead letter has no room for, as they come out of the object store."""
        letter = await self.dead_letters.get(int(request.match_info["seq"]))
        reference = "" if letter is None else letter.reference
        if not reference:
            text = f"there is no dead letter {request.match_info['seq']} with data kept beside it"
            return problem(HTTPStatus.NOT_FOUND, "no-such-dead-letter", text)
        pieces = self.objects.pieces(reference)
        first = await anext(pieces, b"")  # what is gone is told before an answer begins
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        await response.write(first)
        async for piece in pieces:
            await response.write(piece)
        return response

    async def _purge(self, request: web.Request) -> web.Response:
        query = request.query
        limit = min(int(query.get("limit", "1000")), _MOST_A_STRETCH)
        after = int(query.get("after", "0"))
        selection = _selection(query)
        if not after and await self._knows_nothing_of(selection):
            return _no_such_trigger(selection)
        page = await self.dead_letters.purge(selection, limit, after)
        return web.json_response({"purged": len(page.letters), "after": page.after})

    async def _redrive(self, request: web.Request) -> web.Response:
        body = await request.json()
        rate, selection = _rate(body), _selection(body)
        if not body.get("after") and await self._knows_nothing_of(selection):
            return _no_such_trigger(selection)
        redriven = await self.dead_letters.redrive(
            selection,
            self.definitions.known,
            rate,
            _stretch(body, rate),
            int(body.get("after") or 0),
            int(body.get("last") or 0),
        )
        return web.json_response(asdict(redriven))

    async def _replay(self, request: web.Request) -> web.Response:
        body = await request.json()
        rate = _rate(body)
        after = body.get("after")
        wanted = ReplayRequest(
            bus=FunctionKey(str(body["namespace"]), str(body["bus"])),
            occasion=str(body["occasion"]),
            rate_per_second=rate,
            since_seconds=float(body.get("since") or 0.0),
            until_seconds=float(body.get("until") or math.inf),
            only=_filter(body.get("filter") or {}),
            trigger=str(body.get("trigger") or ""),
        )
        unknown = await self._unknown(wanted)
        if unknown:
            return _no_such(unknown)
        done = await self.replay.run(
            wanted,
            self.definitions.known,
            _stretch(body, rate),
            None if after is None else int(after),
        )
        told = {
            "events": done.events,
            "deliveries": done.deliveries,
            "skipped": done.skipped,
            "after": done.after,
        }
        return web.json_response(told)

    async def _unknown(self, wanted: ReplayRequest) -> str:
        """What there is not of what a replay names; empty if there is all."""
        bus = wanted.bus
        readers = [
            key.name
            for key, definition in self.definitions.known.items()
            if key.namespace == bus.namespace and _bus_of(definition.trigger) == bus.name
        ]
        if wanted.trigger:
            text = f"the bus {bus} has no Trigger {wanted.trigger!r} in force"
            return "" if wanted.trigger in readers else text
        stream = names.bus_stream(bus.namespace, bus.name)
        if readers or await self.streams.state(stream) is not None:
            return ""
        return f"there is no bus {bus}"

    async def _knows_nothing_of(self, selection: Selection) -> bool:
        """Whether a Trigger is named that there is not, nor any dead letter of one so called."""
        key = FunctionKey(selection.namespace, selection.trigger)
        if not key.name or key in self.definitions.known:
            return False
        return not (await self.dead_letters.list(Selection(key.namespace, key.name), 1)).letters

    async def _test(self, request: web.Request) -> web.Response:
        body = await request.json()
        trigger = await self._trigger(body)
        return web.json_response(attempt(trigger, event_of(body["event"])).to_json())

    async def _trigger(self, body: Mapping[str, Any]) -> Trigger:
        """The Trigger that is to be tried: one in force, or one that is sent along."""
        given = body.get("object")
        if given is not None:
            key = Trigger.parse(given).key
            return self.admit(key, given)
        key = FunctionKey(str(body["namespace"]), str(body["name"]))
        definition = self.definitions.known.get(key)
        if definition is None:
            raise TriggerInvalid(f"there is no Trigger {key} in force")
        return definition.trigger

    async def _audit(self, request: web.Request) -> web.Response:
        days = float(request.query.get("days", "30"))
        namespace = request.query.get("namespace", "")
        last = await self.activity.read()
        known = [
            definition
            for key, definition in self.definitions.known.items()
            if namespace in ("", key.namespace) and definition.implied is None
        ]
        found = audit(known, last, self.wall(), days)
        return web.json_response({"findings": [each.to_json() for each in found]})


def _bus_of(trigger: Trigger) -> object:
    source = trigger.source
    return source.settings.get("name") if source.kind is SourceKind.BUS else None


def _no_such(text: str) -> web.Response:
    return problem(HTTPStatus.NOT_FOUND, "no-such-name", text)


def _no_such_trigger(selection: Selection) -> web.Response:
    key = FunctionKey(selection.namespace, selection.trigger)
    return _no_such(f"there is no Trigger {key}, and no dead letter of it")


def _selection(given: Mapping[str, Any]) -> Selection:
    return Selection(
        namespace=str(given.get("namespace") or ""),
        trigger=str(given.get("trigger") or ""),
        error=str(given.get("error") or ""),
        since_seconds=float(given.get("since") or 0.0),
        until_seconds=float(given.get("until") or math.inf),
    )


def _filter(given: Mapping[str, Any]) -> Filter:
    if given.get("pattern") is not None and given.get("cesql") is not None:
        raise ValueError("give pattern or cesql, not both")
    return Filter(given.get("pattern"), given.get("cesql"))


def _rate(body: Mapping[str, Any]) -> float:
    given = body.get("rate")
    rate = _RATE_PER_SECOND if given is None else float(given)
    if not 0 < rate <= MOST_PER_SECOND:
        raise ValueError(f"rate must be above 0 and at most {MOST_PER_SECOND:g} a second")
    return rate


def _stretch(body: Mapping[str, Any], rate: float) -> int:
    """How many this request may move in its time."""
    asked = int(body.get("limit") or _MOST_A_STRETCH)
    return max(1, min(asked, int(rate * STRETCH_SECONDS), _MOST_A_STRETCH))
