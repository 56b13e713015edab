"""What the dashboard asks of other roles over HTTP: one way to send, its failures as `Away`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp

from torpor.dashboard import translating
from torpor.dashboard.model import EventSeen, Json
from torpor.dashboard.sources import Away, NotThere
from torpor.resources.names import FunctionKey
from torpor.triggers.latest import LATEST_PATH, LatestEvent
from torpor.workflows.client import Send

_ANSWER_SECONDS: Final = 10.0
_MOST_LETTERS: Final = 50
_REDRIVE_SECONDS: Final = 20.0
_REDRIVEN: Final = 500
"""Dead letters of one request; whoever asked goes on with the next stretch."""
_FAILURES: Final = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
_UNREADABLE: Final = (KeyError, TypeError, ValueError)


class Role:
    """The internal API of a role behind `url`, which asks for the internal token."""

    def __init__(self, http: aiohttp.ClientSession, name: str, url: str, token: str) -> None:
        self._http = http
        self._name = name
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def call(
        self, method: str, path: str, body: Any = None, seconds: float = _ANSWER_SECONDS
    ) -> Any:
        """Return the JSON answer; Away, or NotThere when the role says so."""
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._http.request(
                method, self._url + path, json=body, headers=self._headers, timeout=timeout
            ) as answer:
                status, found = answer.status, await answer.json(content_type=None)
        except _FAILURES as error:
            raise Away(f"{self._name} does not answer: {_why(error)}") from error
        if status < HTTPStatus.BAD_REQUEST:
            return found
        told = found if isinstance(found, dict) else {}
        detail = str(told.get("detail") or f"status {status}")
        if status == HTTPStatus.NOT_FOUND:
            raise NotThere(detail)
        raise Away(f"{self._name}: {detail}")


class EventsRole:
    """What the events role tells and does for the dashboard."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def latest(self) -> Sequence[EventSeen]:
        """Return the latest events of all buses."""
        found = await self._role.call("GET", LATEST_PATH)
        try:
            events = [LatestEvent.from_json(item) for item in found["events"]]
        except _UNREADABLE as error:
            raise Away(f"the events role answered what cannot be read: {error!r}") from error
        return [translating.event(event) for event in events]

    async def dead_letters(self, trigger: FunctionKey, after: int) -> Json:
        """Return dead letters of a Trigger past a number."""
        wanted = {**_selection(trigger), "limit": _MOST_LETTERS, "after": after}
        found: Json = await self._role.call("GET", f"/v1/deadletters?{urlencode(wanted)}")
        return found

    async def redrive(self, trigger: FunctionKey, after: int, last: int) -> Json:
        """Deliver a stretch of them again, of those up to number `last`."""
        body = {**_selection(trigger), "limit": _REDRIVEN, "after": after, "last": last}
        found: Json = await self._role.call(
            "POST", "/v1/deadletters/redrive", body, _REDRIVE_SECONDS
        )
        return found


def execution_api(http: aiohttp.ClientSession, url: str, token: str = "") -> Send:
    """Return the way to the execution API at a URL; `token` empty for one that asks for none."""
    proof = {"authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)

    async def send(headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        given = {**headers, **proof}
        try:
            async with http.post(url, data=body, headers=given, timeout=timeout) as answer:
                return answer.status, await answer.read()
        except _FAILURES as error:
            raise Away(f"the engine does not answer: {_why(error)}") from error

    return send


def _selection(trigger: FunctionKey) -> dict[str, Any]:
    return {"namespace": trigger.namespace, "trigger": trigger.name}


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
