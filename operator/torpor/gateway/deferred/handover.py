"""An asynchronous call's way from a gateway to the events role.

It is sent again while nobody answers: it has an id, under which it is stored once.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

from aiohttp import ClientError

from torpor.errors import TorporError
from torpor.platform.role_client import RoleClient
from torpor.resources.asynchronous import UNAVAILABLE, AsyncCall, calls_path
from torpor.resources.names import FunctionKey
from torpor.resources.tokens import TOKEN_HEADER

_ATTEMPTS = 3
_PAUSE_SECONDS = 0.3
_SECONDS = 12.0
"""For all attempts; the events role waits 8 s for its broker."""
INSTALL = "install the chart with events.enabled=true"


class NoEventsRole(TorporError):
    """The installation has no events role."""

    code = UNAVAILABLE


class EventsRoleAway(TorporError):
    """The events role or its broker is away, or has no room: try again."""

    code = UNAVAILABLE


class CallRefused(TorporError):
    """The events role does not take this call; `status` and `code` say why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class _Said:
    """What the events role answered."""

    status: int
    body: Mapping[str, Any]


@dataclass
class Handover(RoleClient):
    """Hands calls over to the events role at `url` (empty: there is none); an async context.

    `token` is the internal one; `remedy` is what to do where there is none.
    """

    connect_seconds: ClassVar[float] = 2.0
    connections: ClassVar[int] = 100

    remedy: str = INSTALL

    async def take(self, key: FunctionKey, call: AsyncCall) -> str:
        """Return the id under which the call is stored: the same for one Idempotency-Key.

        Raises NoEventsRole, EventsRoleAway or CallRefused.
        """
        if not self.url:
            text = f"no events role takes asynchronous calls: {self.remedy}, or wait for the call"
            raise NoEventsRole(text)
        try:
            async with asyncio.timeout(_SECONDS):
                said = await self._answered(key, call)
        except (ClientError, OSError, TimeoutError) as error:
            raise EventsRoleAway("the events role does not answer: try again") from error
        if said.status == HTTPStatus.ACCEPTED:
            return str(said.body.get("id", call.id))
        detail = str(said.body.get("detail") or f"the events role answered {said.status}")
        if said.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise EventsRoleAway(detail)
        raise CallRefused(said.status, str(said.body.get("code", "bad-request")), detail)

    async def _answered(self, key: FunctionKey, call: AsyncCall) -> _Said:
        encoded = call.encode()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                said = await self._send(key, call, encoded)
            except (ClientError, OSError):
                if attempt == _ATTEMPTS:
                    raise
            else:
                if said.status != HTTPStatus.SERVICE_UNAVAILABLE or attempt == _ATTEMPTS:
                    return said
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise EventsRoleAway("the events role was not asked")

    async def _send(self, key: FunctionKey, call: AsyncCall, encoded: bytes) -> _Said:
        assert self._session is not None, "use the Handover as an async context"
        headers = {TOKEN_HEADER: self.token, "Content-Type": "application/octet-stream"}
        trace = next((v for k, v in call.headers.items() if k.lower() == "traceparent"), None)
        if trace is not None:
            headers["traceparent"] = trace
        async with self._session.post(
            self.url.rstrip("/") + calls_path(key.namespace, key.name),
            data=io.BytesIO(encoded),
            headers=headers,
        ) as answer:
            body = await answer.json(content_type=None)
            return _Said(answer.status, body if isinstance(body, dict) else {})
