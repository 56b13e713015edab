"""Waking the owner of a shard: LISTEN on one connection, and a look at the tables as a fallback.

A notice can be lost (the connection broke, PostgreSQL restarted); the tables cannot. So a wait that
ends without a notice, and every new connection, is followed by a look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncpg

from torpor.workflows.ledger.base import LedgerAway
from torpor.workflows.ledger.database import STATEMENT_SECONDS, translated
from torpor.workflows.ledger.keys import key_of

CHANNEL = "torpor_work"
NEWS_CHANNEL = "torpor_news"
_RETRY_SECONDS = 1.0
_PROBE_SECONDS = 15.0
log = logging.getLogger(__name__)


class Notices:
    """Which shards have work, as far as it was announced."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._announced: set[int] = set()
        self._news = asyncio.Event()
        self._look = True
        self._task: asyncio.Task[None] | None = None
        self._listeners: dict[str, set[asyncio.Event]] = {}

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._run(), name="ledger notices")

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def announce(self, shard: int) -> None:
        """There is work in a shard."""
        self._announced.add(shard)
        self._news.set()

    def take(self, shards: set[int]) -> set[int]:
        """The announced ones of these shards; they count as seen."""
        taken = self._announced & shards
        self._announced -= taken
        return taken

    def must_look(self) -> bool:
        """Whether notices may have been lost since the last call."""
        look, self._look = self._look, False
        return look

    @contextmanager
    def listening(self, subject: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be news of a subject."""
        key, news = str(key_of(subject)), asyncio.Event()
        self._listeners.setdefault(key, set()).add(news)
        try:
            yield news
        finally:
            self._listeners[key].discard(news)
            if not self._listeners[key]:
                del self._listeners[key]

    async def wait(self, seconds: float) -> bool:
        """Wait for any news; False at the time-out."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except LedgerAway as error:
                log.warning("no notices of new work", extra={"fields": {"error": str(error)}})
            await asyncio.sleep(_RETRY_SECONDS)

    async def _listen(self) -> None:
        with translated():
            connection = await asyncpg.connect(self._dsn, timeout=STATEMENT_SECONDS)
            try:
                await connection.add_listener(CHANNEL, self._heard)
                await connection.add_listener(NEWS_CHANNEL, self._heard_news)
                self._look = True
                self._news.set()
                self._tell(list(self._listeners))
                await _until_closed(connection)
            finally:
                await connection.close(timeout=STATEMENT_SECONDS)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._announced.update(int(shard) for shard in str(payload).split(","))
        self._news.set()

    def _heard_news(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._tell(str(payload).split(","))

    def _tell(self, keys: list[str]) -> None:
        for key in keys:
            for news in self._listeners.get(key, ()):
                news.set()


async def _until_closed(connection: asyncpg.Connection) -> None:
    """A connection that died silently is found by asking now and then."""
    closed = asyncio.Event()
    on_close: Callable[[object], None] = lambda _: closed.set()  # noqa: E731
    connection.add_termination_listener(on_close)
    while not closed.is_set():
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await closed.wait()
        except TimeoutError:
            await connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)
    raise LedgerAway("the connection for notices was closed")
