"""Notifications of an S3-compatible store, posted to its webhook: into the Triggers that want them.

POST /v1/namespaces/<namespace>/storage answers 200 with `{"records": n, "stored": m}` once all are
in the inboxes of the namespace's storage Triggers; a store that gets 503 sends them again, and the
same change is stored once.
"""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from torpor.errors import TorporError
from torpor.resources.fields import Fields
from torpor.resources.trigger import SourceKind
from torpor.triggers.api.cloudevents import admitted
from torpor.triggers.api.ingress import Ingress
from torpor.triggers.api.parts import ApiParts
from torpor.triggers.api.problems import problem
from torpor.triggers.inbox import Entrance, entrance
from torpor.triggers.sources.storage_change import ObjectChange, read_rule
from torpor.triggers.sources.storage_notification import (
    MalformedNotification,
    parse_notification,
)


class StorageHook:
    """The webhook."""

    def __init__(self, parts: ApiParts, ingress: Ingress) -> None:
        self._parts = parts
        self._ingress = ingress

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the resource to an application."""
        router.add_post("/v1/namespaces/{namespace}/storage", self._take)

    async def _take(self, request: web.Request) -> web.Response:
        body = await admitted(request, self._parts)
        try:
            changes = parse_notification(body)
        except MalformedNotification as error:
            return problem(HTTPStatus.BAD_REQUEST, error.code, str(error))
        await self._parts.definitions.caught_up()
        stored = 0
        for change in changes:
            for each in self._wanting(request.match_info["namespace"], change):
                stored += await self._enter(each, change)
        return web.json_response({"records": len(changes), "stored": stored})

    async def _enter(self, way_in: Entrance, change: ObjectChange) -> bool:
        """Whether it is in the inbox: the filter may not want it."""
        event = change.event()
        if not way_in.filter.matches(event):
            return False
        await self._ingress.to_inbox(way_in, event)
        return True

    def _wanting(self, namespace: str, change: ObjectChange) -> list[Entrance]:
        """The Triggers that are told; one that is wrong is told nothing, and says so in status."""
        found = []
        for key, definition in self._parts.definitions.known.items():
            source = definition.trigger.source
            if key.namespace != namespace or source.kind is not SourceKind.STORAGE:
                continue
            try:
                rule = read_rule(Fields(dict(source.settings), "spec.source.storage"))
                if rule.poll_seconds is None and rule.matches(change):
                    found.append(entrance(definition.trigger))
            except (TorporError, ValueError):
                continue
        return found
