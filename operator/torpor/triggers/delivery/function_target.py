"""Functions: each event as a CloudEvent over HTTP through the gateway.

| delivery | Content-Type | body |
| --- | --- | --- |
| one event | the event's | its data, with the attributes as `ce-…` (binary mode) |
| one event with long attributes | `application/cloudevents+json` | the event (structured mode) |
| one event, transformed | `application/json` | the value, with the attributes as `ce-…` |
| a batch | `application/cloudevents-batch+json` | an array of events |
| a batch, transformed | `application/json` | an array of values |

What an event must have (`ce-specversion`, `ce-id`, `ce-source`, `ce-type`) comes as headers also in
structured mode and with a transformed value, unless that alone is long.

Each request carries `traceparent`, `X-Request-Id` (another for each attempt), and for one event an
`Idempotency-Key`: the same for all attempts of an event, and with `dedupe` for all events of a key.
A Function that compares it does its work once even where a dispatcher died during the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from torpor.errors import UnknownFunction
from torpor.invoke import GatewayAway, GatewayUnreached, InvokeTimeout, Response
from torpor.resources.names import HEADER_REQUEST_ID, FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.piece import Piece, Unchanged
from torpor.triggers.event import (
    BATCH_CONTENT_TYPE,
    STRUCTURED_CONTENT_TYPE,
    MalformedEvent,
    to_http_binary,
)

if TYPE_CHECKING:
    from torpor.triggers.delivery.targets import Invokes

_JSON = "application/json"
_MOST_HEADER_CHARACTERS = 8_000
"""Of the attributes as headers; a gateway takes 15 KiB in all."""
_MOST_ATTRIBUTES = 64
_IDENTITY = frozenset({"ce-specversion", "ce-id", "ce-source", "ce-type"})
_QUOTED = 500
_BROKEN = (HTTPStatus.BAD_GATEWAY, "bad-gateway")
"""What a gateway says when an instance ended the connection."""


class FunctionTarget:
    """One Function, at one path."""

    def __init__(self, invoker: Invokes, key: FunctionKey, method: str, path: str) -> None:
        self._invoker = invoker
        self._key = key
        self._method = method
        self._path = path

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Invoke the Function with one event."""
        try:
            headers, body = _message(piece)
        except (MalformedEvent, TypeError) as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"it cannot be sent: {error}")
        headers["Idempotency-Key"] = piece.effect or piece.identity
        headers["traceparent"] = piece.trace
        headers[HEADER_REQUEST_ID] = f"{piece.identity}-{attempt}"
        return await self._invoke(headers, body, timeout_seconds)

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Invoke the Function with a batch."""
        plain = all(isinstance(piece.value, Unchanged) for piece in pieces)
        try:
            if plain:
                body = b"[" + b",".join([piece.encoded for piece in pieces]) + b"]"
            else:
                body = orjson.dumps([piece.content for piece in pieces])
        except TypeError as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"it cannot be sent: {error}")
        identity = names.message_id("batch", pieces[0].identity, pieces[-1].identity)
        headers = {
            "content-type": BATCH_CONTENT_TYPE if plain else _JSON,
            "traceparent": pieces[0].trace,
            HEADER_REQUEST_ID: f"{identity}-{attempt}",
        }
        return await self._invoke(headers, body, timeout_seconds)

    async def _invoke(self, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        try:
            response = await self._invoker.invoke(
                self._key, self._method, self._path, headers, body, seconds
            )
        except (GatewayAway, InvokeTimeout) as error:
            return unanswered(error)
        return answer_of(response)


def _message(piece: Piece) -> tuple[dict[str, str], bytes]:
    headers, body = to_http_binary(piece.event)
    fitting = _fitting(headers)
    if not isinstance(piece.value, Unchanged):
        kept = {name: value for name, value in fitting.items() if name != "ce-dataschema"}
        return {**kept, "content-type": _JSON}, orjson.dumps(piece.value)
    if len(fitting) < len(headers):
        return {**fitting, "content-type": STRUCTURED_CONTENT_TYPE}, piece.encoded
    return headers, body


def _fitting(headers: Mapping[str, str]) -> Mapping[str, str]:
    """As many of an event's headers as a request may have: all, those it must have, or none."""
    identity = {name: value for name, value in headers.items() if name in _IDENTITY}
    for wanted in (headers, identity):
        long = sum(map(len, wanted.values())) > _MOST_HEADER_CHARACTERS
        if not long and len(wanted) <= _MOST_ATTRIBUTES:
            return wanted
    return {}


def unanswered(error: GatewayAway | InvokeTimeout) -> Answer:
    """Return what it means that there was no answer: nothing, if the request was never sent."""
    return Answer(None, str(error), absent=isinstance(error, GatewayUnreached))


def answer_of(response: Response) -> Answer:
    """Return what a Function's answer, or the gateway's for it, means for its event."""
    content_type = response.headers.get("Content-Type", "")
    if 200 <= response.status < 300:
        return Answer(response.status, body=response.body, content_type=content_type)
    problem = problem_of(response.body)
    said = problem.get("detail") or problem.get("errorMessage")
    text = str(said) if said else response.body[:_QUOTED].decode(errors="replace").strip()
    return Answer(
        response.status,
        f"status {response.status}: {text[:_QUOTED]}" if text else f"status {response.status}",
        retry_after=response.headers.get("Retry-After", ""),
        absent=problem.get("code") == UnknownFunction.code,
        broken=(response.status, problem.get("code")) == _BROKEN,
        body=response.body,
        content_type=content_type,
    )


def problem_of(body: bytes) -> Mapping[str, Any]:
    """Return the members of problem details (RFC 9457), or of an error as Lambda tells it."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
