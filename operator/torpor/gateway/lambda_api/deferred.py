"""Invoke with InvocationType=Event, and InvokeAsync: handed over to the events role.

Of a Job Function they start a run.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from torpor.aws.errors import Refused
from torpor.errors import UnknownFunction
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
from torpor.gateway.runs.base import NoRuns, Runs, RunsAway
from torpor.gateway.runs.input import input_of, trace_of
from torpor.resources.asynchronous import AsyncCall
from torpor.resources.run import MAX_INPUT_BYTES, RunRefused, RunRequest


class Deferred:
    """Implements `AsyncCalls`; the function gets its own token, as if it were waited for."""

    def __init__(
        self,
        catalog: Catalog,
        handover: Handover,
        place: Place,
        new_id: Callable[[], str],
        runs: Runs | None = None,
    ) -> None:
        self._catalog = catalog
        self._handover = handover
        self._place = place
        self._new_id = new_id
        self._runs = runs or NoRuns()

    async def take(self, call: Call) -> None:
        """Take a call to be done later; returns when it is stored. Refused if it cannot be."""
        terms = self._catalog.terms(call.function)
        if terms is None:
            raise errors.not_found(self._place.arn(call.function))
        if terms.is_job:
            await self._start(call)
            return
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

    async def _start(self, call: Call) -> None:
        """Start a run, named after this request: a client that tries again makes another."""
        trace = trace_of(call.headers)
        try:
            body = input_of(call.headers, call.payload)
            await self._runs.start(RunRequest(call.function, body, self._new_id(), trace))
        except RunRefused as refused:
            raise _translated(refused) from refused
        except UnknownFunction as unknown:
            raise errors.not_found(self._place.arn(call.function)) from unknown
        except RunsAway as away:
            raise errors.unserved(str(away)) from away


def _translated(refused: RunRefused) -> Refused:
    if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return errors.too_large(MAX_INPUT_BYTES, "asynchronous InvokeFunction")
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = refused.retry_after_seconds or 1
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        return errors.throttled(str(refused), reason, seconds)
    return errors.bad_content(str(refused))
