"""Job Functions: each event is one run, however often it is delivered.

The run's input is the event as JSON, or what the transform made of it. Data that is no JSON is in
it as text or, where it is no text either, in base64. Delivered is what
the gateway took (202): how the run ends is the run's own affair. A Function that has as many runs
as `reservedConcurrency` or the namespace's quota allow is asked again later, and that is no
attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson

from torpor.invoke import GatewayAway, InvokeTimeout, Response
from torpor.resources.names import HEADER_REQUEST_ID, FunctionKey
from torpor.resources.run import RUNS_PREFIX
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.function_target import answer_of, unanswered
from torpor.triggers.delivery.piece import Piece, Unchanged
from torpor.triggers.event import STRUCTURED_CONTENT_TYPE

if TYPE_CHECKING:
    from torpor.triggers.delivery.targets import Invokes

_JSON = "application/json"


class RunTarget:
    """One Job Function."""

    def __init__(self, invoker: Invokes, key: FunctionKey) -> None:
        self._invoker = invoker
        self._key = key

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Start the run of one event."""
        plain = isinstance(piece.value, Unchanged)
        content_type = STRUCTURED_CONTENT_TYPE if plain else _JSON
        asked = _Asked(piece.effect or piece.identity, content_type, piece.trace, attempt)
        return await self._start(asked, piece.content, timeout_seconds)

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Start the run of the only one: runs are not batched."""
        return await self.send(pieces[0], attempt, timeout_seconds)

    async def _start(self, asked: _Asked, content: Any, seconds: float) -> Answer:
        try:
            body = orjson.dumps(content)
        except TypeError as error:
            return Answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"it cannot be sent: {error}")
        try:
            response = await self._invoker.invoke(
                self._key, "POST", "/", asked.headers(), body, seconds
            )
        except (GatewayAway, InvokeTimeout) as error:
            return unanswered(error)
        return _answer(response)


class _Asked:
    """What a run is asked for with; `key` is the same for all attempts."""

    def __init__(self, key: str, content_type: str, trace: str, attempt: int) -> None:
        self._key = key
        self._content_type = content_type
        self._trace = trace
        self._attempt = attempt

    def headers(self) -> dict[str, str]:
        """Return the headers of the request."""
        return {
            "content-type": self._content_type,
            "Idempotency-Key": self._key,
            "traceparent": self._trace,
            HEADER_REQUEST_ID: f"{self._key}-{self._attempt}",
        }


def _answer(response: Response) -> Answer:
    found = answer_of(response)
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return replace(found, absent=True)
    place = next((v for k, v in response.headers.items() if k.lower() == "location"), "")
    if found.ok and place.startswith(RUNS_PREFIX):
        return replace(found, run=place.removeprefix(RUNS_PREFIX))
    return found
