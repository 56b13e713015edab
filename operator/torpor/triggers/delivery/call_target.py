"""A Function that is called asynchronously: it gets the request as its caller sent it.

The request is an attribute of the event, its body the data. Every attempt carries the caller's
`X-Request-Id`, and one `Idempotency-Key`, the caller's own if it sent one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import orjson

from torpor.invoke import GatewayAway, InvokeTimeout, Response
from torpor.resources.names import HEADER_REQUEST_ID, FunctionKey
from torpor.triggers.delivery.attempts import Answer
from torpor.triggers.delivery.function_target import answer_of, problem_of, unanswered
from torpor.triggers.delivery.piece import Piece

if TYPE_CHECKING:
    from torpor.triggers.delivery.targets import Invokes

REQUEST: Final = "torporrequest"
"""The attribute with the request: its method, path, headers and id, as JSON."""
_THROTTLED = "reserved-concurrency"
_NOT_KEPT = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "date",
        "keep-alive",
        "server",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    }
)
_MOST_HEADER_CHARACTERS = 16_000


class CallTarget:
    """One Function. A call that it has no place for by `reservedConcurrency` is no attempt."""

    def __init__(self, invoker: Invokes, key: FunctionKey) -> None:
        self._invoker = invoker
        self._key = key

    async def send(self, piece: Piece, attempt: int, timeout_seconds: float) -> Answer:
        """Call the Function."""
        request = orjson.loads(str(piece.event.attributes[REQUEST]))
        headers = {"Idempotency-Key": piece.identity, **request["headers"]}
        headers["traceparent"] = piece.trace
        headers[HEADER_REQUEST_ID] = request["id"]
        data = piece.event.data
        body = data if isinstance(data, bytes) else b""
        try:
            response = await self._invoker.invoke(
                self._key, request["method"], request["path"], headers, body, timeout_seconds
            )
        except (GatewayAway, InvokeTimeout) as error:
            return unanswered(error)
        return _answer(response)

    async def send_batch(
        self, pieces: Sequence[Piece], attempt: int, timeout_seconds: float
    ) -> Answer:
        """Call it with the only one: calls are not batched."""
        return await self.send(pieces[0], attempt, timeout_seconds)


def _answer(response: Response) -> Answer:
    found = replace(answer_of(response), headers=_kept(response.headers), body=response.body)
    throttled = response.status == HTTPStatus.TOO_MANY_REQUESTS
    if throttled and problem_of(response.body).get("code") == _THROTTLED:
        return replace(found, absent=True)
    return found


def _kept(headers: Mapping[str, str]) -> Mapping[str, str]:
    kept = {
        str(name): value
        for name, value in headers.items()
        if name.lower() not in _NOT_KEPT and not name.lower().startswith("x-torpor-")
    }
    size = sum(len(name) + len(value) for name, value in kept.items())
    return kept if size <= _MOST_HEADER_CHARACTERS else {}
