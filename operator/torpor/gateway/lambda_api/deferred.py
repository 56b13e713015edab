"""Invoke with InvocationType=Event, and InvokeAsync: handed over to the events role."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from torpor.gateway.deferred.callee import callee_of
from torpor.gateway.deferred.handover import (
    CallRefused,
    EventsRoleAway,
    Handover,
    NoEventsRole,
)
from torpor.gateway.lambda_api import errors
from torpor.gateway.lambda_api.calls import Call, Catalog
from torpor.gateway.lambda_api.names import Place
from torpor.resources.asynchronous import AsyncCall


class Deferred:
    """Implements `AsyncCalls`; the function gets its own token, as if it were waited for."""

    def __init__(
        self, catalog: Catalog, handover: Handover, place: Place, new_id: Callable[[], str]
    ) -> None:
        self._catalog = catalog
        self._handover = handover
        self._place = place
        self._new_id = new_id

    async def take(self, call: Call) -> None:
        """Take a call to be done later; returns when it is stored. Refused if it cannot be."""
        terms = self._catalog.terms(call.function)
        if terms is None:
            raise errors.not_found(self._place.arn(call.function))
        found = AsyncCall(
            id=self._new_id(),
            request_id=call.request_id,
            method="POST",
            path="/",
            headers=call.headers,
            body=call.payload,
            callee=callee_of(call.function, terms, self._place),
        )
        try:
            await self._handover.take(call.function, found)
        except CallRefused as refused:
            if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                limit = errors.MOST_ASYNCHRONOUS_BYTES
                raise errors.too_large(limit, "asynchronous InvokeFunction") from refused
            raise errors.unserved(str(refused)) from refused
        except (NoEventsRole, EventsRoleAway) as error:
            raise errors.unserved(str(error)) from error
