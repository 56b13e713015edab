"""Group commit: what is to be written together with others, in one transaction.

While a group is on its way to the disk the next one gathers, so a group is as large as the load
makes it, and a lone write waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from torpor.workflows.ledger.base import LedgerAway

T = TypeVar("T")
MOST = 200
"""Writes in one transaction."""
MOST_BYTES = 8 << 20
"""A group takes in no more when it has this many bytes."""

Flush = Callable[[Sequence[T]], Awaitable[Sequence[Exception | None]]]


@dataclass(slots=True)
class _Waiting(Generic[T]):
    write: T
    key: Hashable
    size_bytes: int
    done: asyncio.Future[None]


class GroupWriter(Generic[T]):
    """Gathers writes and flushes them in groups, each key at most once in a group.

    `flush` writes a group and returns for each of its writes the error that it alone gets, or None;
    an error that it raises is everybody's.
    """

    def __init__(self, name: str, flush: Flush[T], lanes: int = 1, most: int = MOST) -> None:
        self._name = name
        self._flush = flush
        self._lanes = lanes
        self._most = most
        self._waiting: deque[_Waiting[T]] = deque()
        self._keys: set[Hashable] = set()
        self._more = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        self._tasks = [
            asyncio.create_task(self._run(), name=f"ledger {self._name} {lane}")
            for lane in range(self._lanes)
        ]

    async def stop(self) -> None:
        """End; what still waits gets LedgerAway."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _fail(self._waiting, LedgerAway("the ledger is closed"))
        self._waiting.clear()

    async def write(self, write: T, key: Hashable, size_bytes: int) -> None:
        """Returns when it is durable. Writes of one key happen in the order of the calls."""
        if not self._tasks or self._tasks[0].done():
            raise LedgerAway("the ledger is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(write, key, size_bytes, done))
        self._more.set()
        await done

    async def _run(self) -> None:
        while True:
            await self._more.wait()
            await asyncio.sleep(0)  # lets everybody who is ready in this very moment join in
            group = self._take()
            if not group:
                self._more.clear()
                continue
            self._keys.update(one.key for one in group)
            try:
                await self._write(group)
            finally:
                self._keys.difference_update(one.key for one in group)
                if self._waiting:
                    self._more.set()

    def _take(self) -> list[_Waiting[T]]:
        """The next group; writes whose key is on its way already stay, in order."""
        group: list[_Waiting[T]] = []
        held: deque[_Waiting[T]] = deque()
        keys, size = set(self._keys), 0
        while self._waiting and len(group) < self._most and size < MOST_BYTES:
            one = self._waiting.popleft()
            if one.key in keys:
                held.append(one)
                continue
            keys.add(one.key)
            size += one.size_bytes
            group.append(one)
        self._waiting.extendleft(reversed(held))
        return group

    async def _write(self, group: list[_Waiting[T]]) -> None:
        try:
            outcomes = await self._flush([one.write for one in group])
        except asyncio.CancelledError:
            _fail(group, LedgerAway("the ledger is closed"))
            raise
        except Exception as error:
            _fail(group, error)
            return
        for one, outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                _fail([one], outcome)
            elif not one.done.done():
                one.done.set_result(None)


def _fail(group: Iterable[_Waiting[T]], error: Exception) -> None:
    for one in group:
        if not one.done.done():
            one.done.set_exception(error)
