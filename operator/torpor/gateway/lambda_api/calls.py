"""One call of the Lambda API: its request read and checked, the function called, the result told.

The function is called through the gateway's own data plane, so that holds, limits and counts apply
as to any other request, with the token that says that the call is no request of the outside.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import orjson

from torpor.gateway.lambda_api import errors, results
from torpor.gateway.lambda_api.memory import Room, read_answer
from torpor.gateway.lambda_api.names import Place
from torpor.gateway.lambda_api.results import Asked, Result
from torpor.gateway.terms import Terms
from torpor.invoke import AnswerTooLong, GatewayAway, Invoker, InvokeTimeout, Response
from torpor.resources.names import HEADER_CLIENT_CONTEXT, HEADER_REQUEST_ID, FunctionKey

QUEUE_SECONDS = 120.0
"""How long a call may wait for a place in an instance, come back and wait again."""
_MOST_CONTEXT = 3583
_LOG_TYPES = ("None", "Tail")
_LOG_TYPE = "X-Amz-Log-Type"
_PASSED = ("traceparent", "tracestate", "X-Amzn-Trace-Id")


class InvocationType(Enum):
    """How a caller wants a call done."""

    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was read and may be done. `headers` go to the function."""

    function: FunctionKey
    kind: InvocationType
    payload: bytes
    headers: Mapping[str, str]
    request_id: str


class Catalog(Protocol):
    """The functions that this gateway knows."""

    def terms(self, key: FunctionKey) -> Terms | None:
        """Return the terms of a function, None if there is none of that name."""

    def functions(self) -> Collection[FunctionKey]:
        """Return all functions."""


class AsyncCalls(Protocol):
    """Takes the calls that nobody waits for."""

    async def take(self, call: Call) -> None:
        """Take a call to be done later; returns when it is stored. Refused if it cannot be."""


class NoAsyncCalls:
    """An installation that takes none."""

    async def take(self, call: Call) -> None:
        """Refuse the call."""
        del call
        message = (
            "This gateway takes no asynchronous invocations: call with "
            "InvocationType=RequestResponse, or let a Trigger call the function"
        )
        raise errors.unserved(message)


class Calls:
    """Does calls; `invoker` reaches the gateway itself."""

    def __init__(
        self, catalog: Catalog, invoker: Invoker, place: Place, asynchronous: AsyncCalls
    ) -> None:
        self._catalog = catalog
        self._invoker = invoker
        self._place = place
        self._asynchronous = asynchronous

    async def do(self, call: Call, room: Room) -> Result:
        """Return the result of a call; of one that is not waited for an empty one.

        What it takes of the gateway's memory is added to `room`.
        """
        terms = self.terms(call.function)
        if call.kind is InvocationType.REQUEST_RESPONSE:
            check_waits(call.function, terms)
            return await self._wait(call, terms, room)
        if call.kind is InvocationType.EVENT:
            await room.more(len(call.payload))  # a copy of it is sent
            await self._asynchronous.take(call)
        return Result(b"")

    def terms(self, key: FunctionKey) -> Terms:
        """Return the terms of a function; ResourceNotFoundException if there is none."""
        terms = self._catalog.terms(key)
        if terms is None:
            raise errors.not_found(self._place.arn(key))
        return terms

    async def _wait(self, call: Call, terms: Terms, room: Room) -> Result:
        seconds = terms.hold_seconds + terms.timeout_seconds + QUEUE_SECONDS
        headers = {**call.headers, HEADER_REQUEST_ID: call.request_id}
        try:
            async with self._invoker.stream(
                call.function, "POST", "/", headers, call.payload, seconds
            ) as answer:
                body = await read_answer(answer, room)
        except InvokeTimeout:
            return results.timed_out(call.request_id, seconds)
        except AnswerTooLong:
            return results.too_long()
        except GatewayAway as error:
            raise errors.unserved(str(error)) from error
        asked = Asked(self._place.arn(call.function), terms.timeout_seconds)
        response = Response(answer.status, answer.headers, body, answer.request_id)
        result = results.result_of(response, asked)
        return results.with_log(result, response) if _LOG_TYPE in call.headers else result


def check_waits(function: FunctionKey, terms: Terms) -> None:
    """Refuse to wait for a run, which may take hours."""
    if terms.is_job:
        raise errors.bad_content(
            f"{function} is a Job Function, and nobody waits for a run: call it with "
            "InvocationType=Event, or have a state machine start it and go on when it ends"
        )


def read_call(
    function: FunctionKey,
    headers: Mapping[str, str],
    body: bytes,
    request_id: str,
    kind: InvocationType | None = None,
) -> Call:
    """Return the call that a request asks for; Refused if something in it is not as it must be.

    `headers` find names in any case; `kind` is that of an operation with only one.
    """
    wanted = kind or _kind(headers.get("X-Amz-Invocation-Type", ""))
    log_type = headers.get(_LOG_TYPE, "None")
    if log_type not in _LOG_TYPES:
        raise errors.bad_value("LogType", log_type, "None or Tail")
    if wanted is InvocationType.EVENT and len(body) > errors.MOST_ASYNCHRONOUS_BYTES:
        raise errors.too_large(errors.MOST_ASYNCHRONOUS_BYTES, "asynchronous InvokeFunction")
    onward = {name: headers[name] for name in _PASSED if name in headers}
    onward["Content-Type"] = "application/json"
    if log_type == "Tail" and wanted is InvocationType.REQUEST_RESPONSE:
        onward[_LOG_TYPE] = log_type
    context = headers.get(HEADER_CLIENT_CONTEXT)
    if context is not None:
        onward[HEADER_CLIENT_CONTEXT] = _checked(context)
    return Call(function, wanted, _json(body), onward, request_id)


def _kind(text: str) -> InvocationType:
    try:
        return InvocationType(text or InvocationType.REQUEST_RESPONSE.value)
    except ValueError:
        allowed = "RequestResponse, Event or DryRun"
        raise errors.bad_value("InvocationType", text, allowed) from None


def _json(body: bytes) -> bytes:
    """Return the payload; none is an empty event, as on Lambda."""
    try:
        orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as wrong:
        raise errors.no_json(str(wrong)) from None
    return body or b"{}"


def _checked(context: str) -> str:
    wrong = "Client context must be a valid Base64-encoded JSON object."
    if len(context) > _MOST_CONTEXT:
        raise errors.bad_content(f"Client context must be at most {_MOST_CONTEXT} bytes long.")
    try:
        found = orjson.loads(base64.b64decode(context, validate=True))
    except (binascii.Error, orjson.JSONDecodeError):
        raise errors.bad_content(wrong) from None
    if not isinstance(found, dict):
        raise errors.bad_content(wrong)
    return context
