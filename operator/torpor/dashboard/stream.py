"""Snapshots for those who watch: one a period while anybody does, none while nobody does.

A reader that is slow skips: one snapshot at most waits for it. What did not change is not sent.
Server-sent events are of the HTML standard, section 9.2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from torpor.dashboard.encoding import encoded
from torpor.dashboard.model import Snapshot, to_json
from torpor.errors import TorporError

MOST_READERS: Final = 64
COMMENT: Final = b": still here\n\n"
COMMENT_SECONDS: Final = 15.0
"""Proxies close what is silent for longer."""


class TooManyReaders(TorporError):
    """As many watch as may."""

    code = "too-many-readers"


class Reader:
    """One who watches. `events` are ready for the wire."""

    def __init__(self) -> None:
        self._waiting: bytes | None = None
        self._changed = asyncio.Event()

    def offer(self, event: bytes) -> None:
        """Have this be the next event, in place of one that still waits."""
        self._waiting = event
        self._changed.set()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent next, for ever; a comment when nothing is for a while."""
        while True:
            try:
                async with asyncio.timeout(COMMENT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                yield COMMENT
                continue
            self._changed.clear()
            event, self._waiting = self._waiting, None
            if event is not None:
                yield event


class Stream:
    """Takes snapshots by `look` each `period_seconds` while there are readers."""

    def __init__(self, look: Callable[[], Awaitable[Snapshot]], period_seconds: float) -> None:
        self._look = look
        self._period_seconds = period_seconds
        self._readers: set[Reader] = set()
        self._watched = asyncio.Event()
        self._shown = self._event = b""
        self.made = 0
        """Snapshots since the beginning."""

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Have a reader inside the block; TooManyReaders when there are too many."""
        if len(self._readers) >= MOST_READERS:
            raise TooManyReaders(f"{MOST_READERS} watch already: close one of them, or come later")
        reader = Reader()
        if not self._readers:
            self._shown = self._event = b""  # of a time when others watched
        elif self._event:
            reader.offer(self._event)
        self._readers.add(reader)
        self._watched.set()
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            if not self._readers:
                self._watched.clear()

    async def run(self) -> None:
        """Serve the readers until cancelled."""
        while True:
            await self._watched.wait()
            self._tell(await self._look())
            await asyncio.sleep(self._period_seconds)

    def _tell(self, snapshot: Snapshot) -> None:
        self.made += 1
        told = to_json(snapshot)
        shown = encoded({**told, "at": 0})
        if shown == self._shown:
            return
        self._shown, self._event = shown, b"data: " + encoded(told) + b"\n\n"
        for reader in self._readers:
            reader.offer(self._event)
