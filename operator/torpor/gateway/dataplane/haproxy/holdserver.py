"""The other end of hold.lua: one connection a held request, one line each way.

    first|again <namespace>/<name> <request id> <traceparent or -> begun|given
                                                     what HAProxy asks
    go <slot> cold|warm                              go on, in this backend
    no <status> <seconds or -> <problem details>     answer this instead

`again` is a request that had been let through and came back because its servers went. HAProxy
closes the connection when the client leaves, and the wait is cancelled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from torpor.gateway import refusals
from torpor.gateway.dataplane.base import Refused
from torpor.gateway.dataplane.haproxy.answers import problem
from torpor.gateway.heldspans import HeldSpans, Trace, told_of
from torpor.resources.names import FunctionKey

_LINE_SECONDS = 10.0
_LINE_BYTES = 1024
_BACKLOG = 4096
_DETAIL_CHARACTERS = 1000
_STOP_SECONDS = 0.5
"""How long the answers of a server that stops may take."""


class Kind(Enum):
    """Whether a request is held for the first time."""

    FIRST = "first"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Released:
    """The request goes on in the backend `slot`; `cold` if it is the one that woke the function.

    Then `phases` has where the time went, in milliseconds.
    """

    slot: str
    cold: bool
    phases: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What HAProxy asks about one request."""

    kind: Kind
    key: FunctionKey
    request_id: str
    trace: Trace


Decide = Callable[[FunctionKey, Kind], Awaitable[Released | Refused]]


class HoldServer:
    """Listens on a unix socket that only this user can open."""

    def __init__(self, path: Path, decide: Decide, spans: HeldSpans) -> None:
        self._path = path
        self._decide = decide
        self._spans = spans
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._decisions: set[asyncio.Future[Released | Refused]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._accept, path=str(self._path), backlog=_BACKLOG, limit=_LINE_BYTES
        )
        os.chmod(self._path, 0o600)

    async def stop(self) -> None:
        """Refuse every held request: the gateway ends."""
        if self._server:
            self._server.close()
        for decision in list(self._decisions):
            decision.cancel()
        tasks = list(self._tasks)
        _, late = await asyncio.wait(tasks, timeout=_STOP_SECONDS) if tasks else ((), ())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="haproxy-held-request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LINE_SECONDS):
                line = await reader.readline()
            asked, began = parse_question(line), self._spans.wall()
            answer = await self._until_left(reader, asked.key, asked.kind)
            if answer is not None:
                writer.write(format_answer(answer, asked.request_id))
                await writer.drain()
            self._spans.tell(
                asked.key, asked.trace, began, *told_of(answer, asked.request_id, asked.kind.value)
            )
        except (OSError, TimeoutError, ValueError):
            # HAProxy itself went, or a stranger wrote here: there is nobody to tell.
            return
        finally:
            writer.close()

    async def _until_left(
        self, reader: asyncio.StreamReader, key: FunctionKey, kind: Kind
    ) -> Released | Refused | None:
        decision = asyncio.ensure_future(self._decide(key, kind))
        self._decisions.add(decision)
        left = asyncio.create_task(reader.read(1), name="haproxy-client-left")
        try:
            await asyncio.wait({decision, left}, return_when=asyncio.FIRST_COMPLETED)
            if decision.cancelled():
                return refusals.stopping()
            return decision.result() if decision.done() else None
        finally:
            self._decisions.discard(decision)
            left.cancel()
            decision.cancel()
            await asyncio.gather(left, decision, return_exceptions=True)


def parse_question(line: bytes) -> Question:
    """Return what HAProxy asks; ValueError if the line is not of the protocol."""
    kind, key, request_id, trace, origin = line.decode("ascii").rstrip("\n").split(" ")
    place = Trace(trace, begun=origin == "begun")
    return Question(Kind(kind), FunctionKey.parse(key), request_id, place)


def format_answer(answer: Released | Refused, request_id: str) -> bytes:
    """Return the line that answers HAProxy."""
    if isinstance(answer, Released):
        return f"go {answer.slot} {'cold' if answer.cold else 'warm'}\n".encode()
    retry = "-" if answer.retry_after_seconds is None else str(answer.retry_after_seconds)
    detail = answer.detail[:_DETAIL_CHARACTERS]
    body = problem(answer.status, answer.code, detail, request_id)
    return f"no {answer.status} {retry} {body}\n".encode()
