"""Runs that the controllers keep, asked for over their internal API.

A request is sent again while nobody answers: a run has a name, under which it is made once. Who
waits for a run waits through a restart of the controllers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import urlencode

import orjson
from aiohttp import ClientError

from torpor.errors import UnknownFunction
from torpor.gateway.runs.base import RunsAway
from torpor.platform.role_client import RoleClient
from torpor.resources.names import FunctionKey
from torpor.resources.run import Run, RunRefused, RunRequest, UnknownRun
from torpor.resources.tokens import TOKEN_HEADER

_ATTEMPTS = 4
"""At least so many, and more while a wait that was asked for goes on."""
_PAUSE_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 1.5
_SECONDS = 12.0
"""For all attempts, beyond the time that is asked for."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a controller answered."""

    status: int
    body: Mapping[str, Any]
    retry_after_seconds: int | None

    @property
    def is_away(self) -> bool:
        """Whether it could not be asked, or could not ask the API server: another may."""
        code = str(self.body.get("code") or "api")
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR and code.startswith("api")

    @property
    def detail(self) -> str:
        """What it says to people."""
        return str(self.body.get("detail") or f"the controller answered {self.status}")


@dataclass
class RemoteRuns(RoleClient):
    """Implements `Runs` over the controllers at `url`; an async context. `token` is internal.

    Its connections are unlimited: who waits for a run keeps nobody out.
    """

    connect_seconds: ClassVar[float] = 2.0

    async def start(self, request: RunRequest) -> str:
        """Start the run, or find the one that there is; return its id. See `Runs`."""
        said = await self._ask("POST", "/v1/runs", orjson.dumps(request.to_json()))
        if said.status == HTTPStatus.NOT_FOUND:
            raise UnknownFunction(said.detail)
        _check(said, HTTPStatus.ACCEPTED)
        return str(said.body["id"])

    async def named(self, key: FunctionKey, idempotency_key: str) -> str:
        """Return the id of the run that there is under this key. See `Runs`."""
        query = urlencode({"function": key.name, "key": idempotency_key})
        said = await self._ask("GET", f"/v1/runs/{key.namespace}?{query}")
        if said.status == HTTPStatus.NOT_FOUND:
            raise UnknownRun(said.detail)
        _check(said, HTTPStatus.OK)
        return str(said.body["id"])

    async def find(self, namespace: str, run: str, wait_seconds: float) -> Run:
        """Return the run, at the latest after `wait_seconds`. See `Runs`."""
        said = await self._ask("GET", f"/v1/runs/{namespace}/{run}", wait_seconds=wait_seconds)
        if said.status == HTTPStatus.NOT_FOUND:
            raise UnknownRun(said.detail)
        _check(said, HTTPStatus.OK)
        return Run.from_json(said.body)

    async def cancel(self, namespace: str, run: str) -> None:
        """Have the run end. See `Runs`."""
        said = await self._ask("DELETE", f"/v1/runs/{namespace}/{run}")
        if said.status == HTTPStatus.NOT_FOUND:
            raise UnknownRun(said.detail)
        _check(said, HTTPStatus.ACCEPTED)

    async def _ask(
        self, method: str, path: str, body: bytes = b"", wait_seconds: float = 0.0
    ) -> _Said:
        clock = asyncio.get_running_loop().time
        until, attempts = clock() + wait_seconds, 0
        said: _Said | None = None
        try:
            async with asyncio.timeout(_SECONDS + wait_seconds):
                while attempts < _ATTEMPTS or clock() < until:
                    left = max(0.0, until - clock())
                    said = await self._try(method, path, body, left)
                    if said and not said.is_away:
                        return said
                    attempts += 1
                    pause_seconds = min(_PAUSE_SECONDS * attempts, _LONGEST_PAUSE_SECONDS)
                    await asyncio.sleep(pause_seconds)
        except TimeoutError as error:
            raise RunsAway("no controller answers in time: try again") from error
        raise RunsAway(said.detail if said else "no controller answers: try again")

    async def _try(self, method: str, path: str, body: bytes, wait_seconds: float) -> _Said | None:
        """Return what one controller answered; None if it did not, or ended meanwhile."""
        assert self._session is not None, "use RemoteRuns as an async context"
        url = self.url.rstrip("/") + path
        headers = {TOKEN_HEADER: self.token, "Content-Type": "application/json"}
        params = {"wait": f"{wait_seconds:g}"} if wait_seconds else {}
        try:
            async with self._session.request(
                method, url, params=params, data=body or None, headers=headers
            ) as answer:
                raw = await answer.read()
                found = orjson.loads(raw) if raw.startswith(b"{") else {}
                after = answer.headers.get("Retry-After", "")
                return _Said(answer.status, found, int(after) if after.isdecimal() else None)
        except (ClientError, OSError):
            return None


def _check(said: _Said, wanted: HTTPStatus) -> None:
    if said.status == wanted:
        return
    code = str(said.body.get("code", "bad-request"))
    raise RunRefused(said.status, code, said.detail, said.retry_after_seconds)
