"""The other end of hold.lua: one connection a held request, one line each way.

    first|again <namespace>/<name> <request id>      what HAProxy asks
    go <slot> cold|warm                              go on, in this backend
    no <status> <seconds or -> <problem details>     answer this instead

`again` is a request that had been let through and came back because its servers went. HAProxy
closes the connection when the client leaves, and the wait is cancelled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from torpor.gateway.dataplane.base import Refused
from torpor.gateway.dataplane.haproxy.answers import problem
from torpor.resources.names import FunctionKey

_LINE_SECONDS = 10.0
_LINE_BYTES = 1024
_BACKLOG = 4096
_DETAIL_CHARACTERS = 1000


class Kind(Enum):
    """Whether a request is held for the first time."""

    FIRST = "first"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Released:
    """The request goes on in the backend `slot`; `cold` if it is the one that woke the function."""

    slot: str
    cold: bool


Decide = Callable[[FunctionKey, Kind], Awaitable[Released | Refused]]


class HoldServer:
    """Listens on a unix socket that only this user can open."""

    def __init__(self, path: Path, decide: Decide) -> None:
        self._path = path
        self._decide = decide
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(
            self._accept, path=str(self._path), backlog=_BACKLOG, limit=_LINE_BYTES
        )
        os.chmod(self._path, 0o600)

    async def stop(self) -> None:
        """Let go of every held request: HAProxy answers them 503."""
        if self._server:
            self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="haproxy-held-request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_LINE_SECONDS):
                line = await reader.readline()
            kind, key, request_id = parse_question(line)
            answer = await self._until_left(reader, key, kind)
            if answer is not None:
                writer.write(format_answer(answer, request_id))
                await writer.drain()
        except (OSError, TimeoutError, ValueError):
            # HAProxy itself went, or a stranger wrote here: there is nobody to tell.
            return
        finally:
            writer.close()

    async def _until_left(
        self, reader: asyncio.StreamReader, key: FunctionKey, kind: Kind
    ) -> Released | Refused | None:
        decision = asyncio.ensure_future(self._decide(key, kind))
        left = asyncio.create_task(reader.read(1), name="haproxy-client-left")
        try:
            await asyncio.wait({decision, left}, return_when=asyncio.FIRST_COMPLETED)
            return decision.result() if decision.done() else None
        finally:
            left.cancel()
            decision.cancel()
            await asyncio.gather(left, decision, return_exceptions=True)


def parse_question(line: bytes) -> tuple[Kind, FunctionKey, str]:
    """Return what HAProxy asks; ValueError if the line is not of the protocol."""
    kind, key, request_id = line.decode("ascii").rstrip("\n").split(" ")
    return Kind(kind), FunctionKey.parse(key), request_id


def format_answer(answer: Released | Refused, request_id: str) -> bytes:
    """Return the line that answers HAProxy."""
    if isinstance(answer, Released):
        return f"go {answer.slot} {'cold' if answer.cold else 'warm'}\n".encode()
    retry = "-" if answer.retry_after_seconds is None else str(answer.retry_after_seconds)
    detail = answer.detail[:_DETAIL_CHARACTERS]
    body = problem(answer.status, answer.code, detail, request_id)
    return f"no {answer.status} {retry} {body}\n".encode()
