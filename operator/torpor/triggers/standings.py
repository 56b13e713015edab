"""The Triggers of the events role as the controller asks for them: values on the wire, and client.

The controller never talks to the broker. It tells the events role which Triggers there should be,
over the role's internal API (`admin.py`), as it tells the engines of machines. Any replica takes a
Trigger for all; how one stands, each replica knows of its own part, so all of them are asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.triggers.idle import IDLE_PATH, IdleInbox
from torpor.triggers.lags import LAG_PATH, Lags, lags_from_json

T = TypeVar("T")

PATH = "/v1/triggers"
INVALID_TRIGGER = "invalid-trigger"
"""The code of the problem that refuses a Trigger (422)."""

SUBSCRIBED = "Subscribed"
"""The reason of a Standing with nothing wrong."""
STARTING = "Starting"
"""The reason while a source is being connected to."""

_ANSWER_SECONDS = 20.0
_LAG_SECONDS = 2.0
_RESOLVE_SECONDS = 5.0
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


class EventsAway(TorporError):
    """The events role did not answer, or its broker is away: try again; it may have happened."""

    code = "events-away"


class TriggerRefused(TorporError):
    """The Trigger cannot be in force; the text has every problem that was found."""

    code = "trigger-refused"


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """What the controller knows of a target that is a Function or a Workflow.

    Events of a target that does not exist wait. The rest is of Functions: how long one may take,
    what one pod is aimed to have and may have at once (0: no limit), and how many pods there may
    be. Of a Job Function every event is a run of its own, and none of that counts.
    """

    exists: bool
    timeout_seconds: float = 0.0
    concurrency_target: int = 1
    concurrency_limit: int = 0
    max_replicas: int = 0
    is_job: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "exists": self.exists,
            "timeoutSeconds": self.timeout_seconds,
            "concurrencyTarget": self.concurrency_target,
            "concurrencyLimit": self.concurrency_limit,
            "maxReplicas": self.max_replicas,
            "isJob": self.is_job,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            exists=bool(body["exists"]),
            timeout_seconds=float(body["timeoutSeconds"]),
            concurrency_target=int(body["concurrencyTarget"]),
            concurrency_limit=int(body["concurrencyLimit"]),
            max_replicas=int(body["maxReplicas"]),
            is_job=bool(body.get("isJob", False)),
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """A Trigger that is to be in force: its object (without status), and its target's facts.

    `function` is None where the target is a bus or a queue, which are made by their first use.
    """

    object: Mapping[str, Any]
    function: TargetFacts | None

    def to_json(self) -> dict[str, Any]:
        """Return the body of a PUT."""
        facts = self.function.to_json() if self.function else None
        return {"object": dict(self.object), "function": facts}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        facts = body["function"]
        return cls(dict(body["object"]), TargetFacts.from_json(facts) if facts else None)


@dataclass(frozen=True, slots=True)
class Standing:
    """A Trigger as the events role has it.

    `generation` and `suspended` are of the object in force. `reason` is SUBSCRIBED, or why events
    do not arrive; `message` says more. `lag` counts events that could be delivered now, `waiting`
    those tried again later and what its bus has not routed. `last_event_at` is Unix time, if any.
    """

    key: FunctionKey
    uid: str
    generation: int
    subscribed: bool
    reason: str = SUBSCRIBED
    message: str = ""
    lag: int = 0
    waiting: int = 0
    dead_letters: int = 0
    last_event_at: float | None = None
    suspended: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return its JSON form."""
        return {
            "key": str(self.key),
            "uid": self.uid,
            "generation": self.generation,
            "subscribed": self.subscribed,
            "reason": self.reason,
            "message": self.message,
            "lag": self.lag,
            "waiting": self.waiting,
            "deadLetters": self.dead_letters,
            "lastEventAt": self.last_event_at,
            "suspended": self.suspended,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        last = body["lastEventAt"]
        return cls(
            key=FunctionKey.parse(body["key"]),
            uid=str(body["uid"]),
            generation=int(body["generation"]),
            subscribed=bool(body["subscribed"]),
            reason=str(body["reason"]),
            message=str(body["message"]),
            lag=int(body["lag"]),
            waiting=int(body["waiting"]),
            dead_letters=int(body["deadLetters"]),
            last_event_at=None if last is None else float(last),
            suspended=bool(body.get("suspended")),  # a replica of an older version says nothing
        )


def merged(replies: Iterable[Iterable[Standing]]) -> list[Standing]:
    """Return one Standing a Trigger of what several replicas told.

    The latest generation counts; of equal ones the replica that has trouble, for the others only
    stand by; and a trouble before what is still starting.
    """
    found: dict[FunctionKey, Standing] = {}
    for replies_of_one in replies:
        for standing in replies_of_one:
            before = found.get(standing.key)
            if before is None or _weight(standing) > _weight(before):
                found[standing.key] = standing
    return list(found.values())


def _weight(standing: Standing) -> tuple[int, bool, bool]:
    return standing.generation, not standing.subscribed, standing.reason != STARTING


class Standings:
    """The internal API of the events role behind `url`. The session is the caller's.

    The host of `url` has one address a replica, as that of a headless Service.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def put(self, key: FunctionKey, wanted: Wanted) -> Standing:
        """Have the Trigger be as wanted; what is so already changes nothing.

        Raises TriggerRefused or EventsAway.
        """
        answer = await self._call("PUT", f"{PATH}/{key}", wanted.to_json())
        return _read(lambda: Standing.from_json(answer))

    async def delete(self, key: FunctionKey) -> str:
        """Have the Trigger no longer in force; return what was lost by it. Raises EventsAway."""
        answer = await self._call("DELETE", f"{PATH}/{key}")
        return _read(lambda: str(answer["lost"])) if answer else ""

    async def survey(self) -> Sequence[Standing]:
        """Return every Trigger in force, by all replicas that answer. EventsAway if none does."""
        urls = await self._replicas()
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._survey_at(url), name=f"ask {url}") for url in urls]
        answers = [task.result() for task in asked]
        told = [answer for answer in answers if not isinstance(answer, EventsAway)]
        if not told:
            raise EventsAway("; ".join(map(str, answers)))
        return merged(told)

    async def _survey_at(self, url: str) -> Sequence[Standing] | EventsAway:
        try:
            answer = await self._call("GET", PATH, url=url)
            return _read(lambda: [Standing.from_json(item) for item in answer["triggers"]])
        except EventsAway as error:
            return error

    async def _replicas(self) -> Sequence[str]:
        """Return the URL of each replica."""
        parts = urlsplit(self._url)
        port = parts.port or 80
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, TimeoutError) as error:
            text = f"{self._url}: no address of a replica that is ready: {error!r}"
            raise EventsAway(text) from error
        addresses = sorted({str(item[4][0]) for item in found})
        return [
            f"http://[{item}]:{port}" if ":" in item else f"http://{item}:{port}"
            for item in addresses
        ]

    async def lags(self) -> Lags:
        """Return what is not delivered to Functions, by Function and Trigger. Raises EventsAway."""
        answer = await self._call("GET", LAG_PATH, seconds=_LAG_SECONDS)
        return _read(lambda: lags_from_json(answer))

    async def idle_calls(self) -> Sequence[IdleInbox]:
        """Return the inboxes of asynchronous calls with nothing to do. Raises EventsAway."""
        answer = await self._call("GET", IDLE_PATH)
        return _read(lambda: [IdleInbox.from_json(item) for item in answer["inboxes"]])

    async def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        seconds: float = _ANSWER_SECONDS,
        url: str = "",
    ) -> Any:
        timeout = aiohttp.ClientTimeout(total=seconds)
        url = url or self._url
        try:
            async with self._session.request(
                method, url + path, json=body, headers=self._headers, timeout=timeout
            ) as answer:
                found = await answer.json(content_type=None) if answer.status != 204 else None
                status = answer.status
        except _FAILURES as error:
            raise EventsAway(f"{url}: {type(error).__name__}: {error}") from error
        if status >= 400:
            raise _refused(status, found, url)
        return found


def _read(parse: Callable[[], T]) -> T:
    try:
        return parse()
    except _FAILURES as error:
        raise EventsAway(f"the events role answered what cannot be read: {error!r}") from error


def _refused(status: int, found: Any, url: str) -> TorporError:
    told = found if isinstance(found, dict) else {}
    detail = str(told.get("detail") or f"status {status}")
    refused = told.get("code") == INVALID_TRIGGER
    return TriggerRefused(detail) if refused else EventsAway(f"{url}: {detail}")
