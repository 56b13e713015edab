"""Numbered events into a bus, and the functions that note them, for `test_events`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.chaos.events_function import opened
from tests.support.servers.daemon import free_port, listens

PLAIN, ONCE, ORDERED = FUNCTIONS = ("plain", "once", "ordered")
KEYS = 60
"""As many are published at once, one of each key: what is published again keeps the keys' order."""
TWICE_EVERY = 10
"""Every so many times, all events of ONCE are followed by others of the same idempotency key."""
_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 3.0
"""A frozen replica takes connections and answers none."""
_FAILURES = (aiohttp.ClientError, TimeoutError)


def function_of(number: int) -> str:
    """Whom the event of this number is for."""
    return FUNCTIONS[number % len(FUNCTIONS)]


def numbers_for(function: str, sent: int) -> range:
    """The numbers, of the first `sent`, that a function is to get."""
    return range(FUNCTIONS.index(function), sent, len(FUNCTIONS))


@dataclass
class Publisher:
    """Publishes in order until told that it is enough, to whichever replica answers.

    What got no good answer is published again under the same ids.
    """

    session: aiohttp.ClientSession
    urls: Sequence[str]
    per_second: float
    at_least: int
    sent: int = 0
    twice: int = 0
    refused: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        began = time.monotonic()
        places = itertools.cycle(self.urls)
        while self.sent < self.at_least or not self.enough.is_set():
            await self._batch(orjson.dumps(self._events()), places)
            self.sent += KEYS
            early = began + self.sent / self.per_second - time.monotonic()
            if early > 0 and not self.enough.is_set():
                await asyncio.sleep(early)

    async def _batch(self, body: bytes, places: Iterator[str]) -> None:
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        limit = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        for url in places:
            with contextlib.suppress(*_FAILURES):
                place = f"{url}/v1/namespaces/shop/buses/main/events"
                async with self.session.post(
                    place, data=body, headers=headers, timeout=limit
                ) as answer:
                    if answer.status == 202:
                        return
                    assert answer.status == 503, await answer.text()
            self.refused += 1
            await asyncio.sleep(_RETRY_SECONDS)

    def _events(self) -> list[Mapping[str, Any]]:
        numbers = range(self.sent, self.sent + KEYS)
        events = [_event(number, str(number)) for number in numbers]
        if self.sent // KEYS % TWICE_EVERY == 0:
            again = [number for number in numbers if function_of(number) == ONCE]
            self.twice += len(again)
            events += [_event(number, f"{number} again") for number in again]
        return events


def _event(number: int, name: str) -> Mapping[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/chaos",
        "type": function_of(number),
        "data": {"n": number, "key": number % KEYS},
    }


@dataclass
class Functions:
    """The functions' process and what was asked of it."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    calls: sqlite3.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.calls = opened(str(self._file))

    @property
    def url(self) -> str:
        """The gateway's URL, as the dispatchers are told."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def _file(self) -> Path:
        return self.folder / "calls.sqlite"

    async def start(self) -> None:
        """Return when it takes calls."""
        self._spawn()
        async with asyncio.timeout(30):
            while not listens(self.port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.events_function", str(self.port)]
        self.process = subprocess.Popen([*command, str(self._file)])

    def kill(self) -> None:
        """End it, whatever it is doing."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(10)

    def latest(self) -> Mapping[str, int]:
        """The highest number that came to each function."""
        rows = self.calls.execute("SELECT function, MAX(number) FROM calls GROUP BY function")
        return dict(rows.fetchall())

    def distinct(self) -> int:
        """How many events came, to the functions that they are for or to others."""
        rows = self.calls.execute(
            "SELECT COUNT(*) FROM (SELECT DISTINCT function, number FROM calls)"
        )
        return int(rows.fetchone()[0])

    def numbers(self, function: str) -> Counter[int]:
        """How often each event came to a function."""
        rows = self.calls.execute("SELECT number FROM calls WHERE function = ?", (function,))
        return Counter(number for (number,) in rows)

    def effects(self, function: str) -> Mapping[str, set[int]]:
        """The events by the idempotency keys with which they came."""
        query = "SELECT effect, number FROM calls WHERE function = ?"
        found: dict[str, set[int]] = {}
        for effect, number in self.calls.execute(query, (function,)):
            found.setdefault(effect, set()).add(number)
        return found

    def first_arrivals(self, function: str) -> Mapping[int, list[int]]:
        """Each key's events in the order in which they came first."""
        query = "SELECT key, number FROM calls WHERE function = ? GROUP BY number ORDER BY MIN(at)"
        found: dict[int, list[int]] = {}
        for key, number in self.calls.execute(query, (function,)):
            found.setdefault(key, []).append(number)
        return found
