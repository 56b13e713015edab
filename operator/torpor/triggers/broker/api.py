"""JetStream's own API: requests on `$JS.API.…`, answered in JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson

from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import BrokerRefused, refusal

API_SECONDS = 10.0
"""The deadline of one call, with everything tried again within it."""
_ANSWER_SECONDS = 3.0
_RETRY_SECONDS = 0.1
TRANSIENT = frozenset({10008, 10074, 10076, 10039, 10119, 10158})
"""No leader now, no peers, JetStream still starting, the same id just being stored: ask again."""


async def call(
    connection: Connection,
    operation: str,
    request: Mapping[str, Any] | None = None,
    deadline_seconds: float = API_SECONDS,
) -> dict[str, Any]:
    """Return the answer to `$JS.API.<operation>`; every operation used is safe to ask again.

    Raises BrokerRefused, and BrokerAway when there is no answer within the deadline.
    """
    data = b"" if request is None else orjson.dumps(request)
    deadline = time.monotonic() + deadline_seconds
    while True:
        remaining = max(0.01, deadline - time.monotonic())
        try:
            return await _once(connection, operation, data, remaining)
        except BrokerAway:
            if time.monotonic() + _RETRY_SECONDS >= deadline:
                raise
        except BrokerRefused as error:
            if error.err_code not in TRANSIENT:
                raise
            if time.monotonic() + _RETRY_SECONDS >= deadline:
                raise BrokerAway(str(error)) from error
        await asyncio.sleep(_RETRY_SECONDS)


async def _once(
    connection: Connection, operation: str, data: bytes, remaining_seconds: float
) -> dict[str, Any]:
    link = await connection.link(remaining_seconds)
    seconds = min(_ANSWER_SECONDS, remaining_seconds)
    answer = await link.request(f"$JS.API.{operation}", data, seconds)
    found: dict[str, Any] = orjson.loads(answer.data)
    if "error" in found:
        raise refusal(found["error"])
    return found
