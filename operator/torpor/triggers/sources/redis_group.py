"""One consumer of a group of a Redis stream: what it reads, claims and acknowledges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import redis.asyncio
from redis import exceptions

from torpor.triggers.base import SourceAway

Entry = tuple[str, dict[bytes, bytes]]

_AT_A_TIME: Final = 256
_BLOCK_MS: Final = 2_000
_ANSWER_SECONDS: Final = 10.0
_ACKS_AT_A_TIME: Final = 128
_FIRST: Final = "0-0"
_GONE: Final = ("NOGROUP", "UNBLOCKED")
"""The answers when the stream or the group was deleted, the second to who waits at that moment."""


class Group:
    """Reads a stream as `consumer`. `clock` gives seconds."""

    def __init__(
        self,
        client: redis.asyncio.Redis,
        stream: str,
        name: str,
        consumer: str,
        claim_idle_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._stream = stream
        self._name = name
        self._consumer = consumer
        self._claim_idle_seconds = claim_idle_seconds
        self._clock = clock
        self._claimed_seconds = float("-inf")
        self._cursor = _FIRST
        self._last = _FIRST
        self._outstanding: set[str] = set()
        self._stored: list[str] = []
        self._refused = False

    async def ensure(self, begins: str) -> None:
        """Make the group, to begin after the entry `begins`, if it is not there; the stream too."""
        try:
            await _in_time(
                self._client.xgroup_create(self._stream, self._name, begins, mkstream=True)
            )
        except exceptions.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield what this consumer had not acknowledged, then what is new or claimed, for ever."""
        async for entry in self._own():
            yield entry
        while not self._refused:
            for entry in [*await self._claim(), *await self._new()]:
                self._outstanding.add(entry[0])
                yield entry
            await self.flush()
        raise SourceAway("an entry was not stored: reading again from where all were")

    async def acknowledge(self, identifier: str) -> None:
        """Remember that the entry is stored; the server is told of many at once."""
        self._outstanding.discard(identifier)
        self._stored.append(identifier)
        if len(self._stored) >= _ACKS_AT_A_TIME:
            await self.flush()

    def refuse(self) -> None:
        """Read again, after a pause, what is not acknowledged."""
        self._refused = True

    async def flush(self) -> None:
        """Tell the server what is stored."""
        stored, self._stored = self._stored, []
        if stored:
            await _in_time(self._client.xack(self._stream, self._name, *stored))

    async def _own(self) -> AsyncIterator[Entry]:
        after = _FIRST
        while found := await self._read(after, None):
            after = found[-1][0]
            for entry in self._present(found):
                self._outstanding.add(entry[0])
                yield entry

    async def _new(self) -> list[Entry]:
        try:
            found = self._present(await self._read(">", _BLOCK_MS))
        except exceptions.ResponseError as error:
            if not str(error).startswith(_GONE):
                raise
            await self.ensure(await self._resumption())
            return []
        if found:
            self._last = found[-1][0]
        return found

    async def _resumption(self) -> str:
        """Return where a group that was deleted goes on: a stream that began anew is read whole."""
        if not await _in_time(self._client.exists(self._stream)):
            return _FIRST
        about = await _in_time(self._client.xinfo_stream(self._stream))
        newest = about["last-generated-id"].decode()
        return self._last if _order(newest) >= _order(self._last) else _FIRST

    async def _read(self, after: str, block_ms: int | None) -> list[tuple[str, Any]]:
        streams: dict[Any, Any] = {self._stream: after}
        answer = await _in_time(
            self._client.xreadgroup(
                self._name, self._consumer, streams, count=_AT_A_TIME, block=block_ms
            )
        )
        return [(identifier.decode(), fields) for identifier, fields in _only_stream(answer)]

    async def _claim(self) -> list[Entry]:
        """Take over what other consumers have had for too long; now and then."""
        now = self._clock()
        if now - self._claimed_seconds < self._claim_idle_seconds / 2:
            return []
        idle_ms = int(self._claim_idle_seconds * 1000)
        answer = await _in_time(
            self._client.xautoclaim(
                self._stream, self._name, self._consumer, idle_ms, self._cursor, count=_AT_A_TIME
            )
        )
        self._cursor = answer[0].decode()
        if self._cursor == _FIRST:  # that was all: look again later
            self._claimed_seconds = now
        claimed = [(identifier.decode(), fields) for identifier, fields in answer[1]]
        return [entry for entry in self._present(claimed) if entry[0] not in self._outstanding]

    def _present(self, found: list[tuple[str, Any]]) -> list[Entry]:
        """Leave out what was deleted from the stream after it had been handed over."""
        deleted = [identifier for identifier, fields in found if not fields]
        self._stored += deleted
        return [(identifier, fields) for identifier, fields in found if fields]


async def _in_time(answer: Awaitable[Any]) -> Any:
    """Return the answer; TimeoutError when it does not come."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        return await answer


def _only_stream(answer: Any) -> list[tuple[bytes, Any]]:
    """Return the entries of an answer of XREADGROUP for one stream, in either protocol's shape."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (groups,) = answer.values()
        return [entry for group in groups for entry in group]
    ((_, entries),) = answer
    return list(entries)


def _order(identifier: str) -> tuple[int, int]:
    milliseconds, _, number = identifier.partition("-")
    return int(milliseconds), int(number or 0)
