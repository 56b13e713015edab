"""The demo drives a burst at itself, checks every answer, and sums up what happened.

Per function: a first request wakes it from zero, a burst scales it out, quiet takes it back to
zero, and another request wakes it again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from rich.console import Console

from torpor.dev.folder import Entry
from torpor.dev.session import Session
from torpor.resources.load import PHASES
from torpor.resources.names import FunctionKey

BURST_REQUESTS = 240
BURST_CLIENTS = 40
REST_SECONDS = 2.0
"""How long everything stays at zero before each wake."""
_REQUEST_SECONDS = 60.0
_ZERO_SECONDS = 60.0
_SAMPLE_SECONDS = 0.05
_LAST_LOOK_SECONDS = 1.1  # so that the view shows the last wake, too


@dataclass(slots=True)
class Tally:
    """What the demo saw."""

    requests: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    most_replicas: Counter[FunctionKey] = field(default_factory=Counter)
    zero_seconds: dict[FunctionKey, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def passed(self) -> bool:
        """Whether every response was right."""
        return self.requests > 0 and not self.wrong


class Demo:
    """One run of the demo over a session that is running."""

    def __init__(self, session: Session, console: Console) -> None:
        self._session = session
        self._console = console
        self._numbers = count(1)
        self.tally = Tally()

    async def run(self) -> bool:
        """Drive it, print the summary; return whether every response was right."""
        connector = TCPConnector(limit=0, force_close=True)
        timeout = ClientTimeout(total=_REQUEST_SECONDS)
        async with ClientSession(connector=connector, timeout=timeout) as client:
            observer = asyncio.create_task(self._observe(), name="demo observer")
            try:
                await self._drive(client)
                await asyncio.sleep(_LAST_LOOK_SECONDS)
            finally:
                observer.cancel()
        self._summary()
        return self.tally.passed

    async def _drive(self, client: ClientSession) -> None:
        keys = tuple(row.key for row in self._session.rows())
        await asyncio.sleep(REST_SECONDS)
        self._say("every function is at zero: one request wakes each")
        await self._each(client, keys, 1, 1)
        self._say(f"a burst of {BURST_REQUESTS} requests to each, {BURST_CLIENTS} at once")
        await self._each(client, keys, BURST_REQUESTS, BURST_CLIENTS)
        self._say("quiet, until every function is back at zero")
        await self._until_zero(keys)
        await asyncio.sleep(REST_SECONDS)
        self._say("at zero again: one more request wakes each")
        await self._each(client, keys, 1, 1)

    async def _each(
        self, client: ClientSession, keys: Sequence[FunctionKey], requests: int, clients: int
    ) -> None:
        async with asyncio.TaskGroup() as tasks:
            for key in keys:
                left = iter(range(requests))
                for number in range(clients):
                    tasks.create_task(
                        self._client(client, key, left), name=f"demo client {key} {number}"
                    )

    async def _client(self, client: ClientSession, key: FunctionKey, left: Iterator[int]) -> None:
        for _ in left:
            problem = await self._ask(client, key, self._session.entries[key], next(self._numbers))
            self.tally.requests += 1
            if problem:
                self.tally.wrong[f"{key}: {problem}"] += 1

    async def _ask(
        self, client: ClientSession, key: FunctionKey, entry: Entry, number: int
    ) -> str | None:
        path = entry.demo_path.replace("{n}", str(number))
        url = f"{self._session.url}/function/{key}{path}"
        try:
            async with client.get(url) as response:
                body = await response.text()
        except (ClientError, TimeoutError) as error:
            return f"no answer: {error!r}"
        if response.status != 200:
            return f"status {response.status}: {body.strip()[:300]}"
        if entry.demo_expect is None:
            return None
        expected = entry.demo_expect.replace("{n}", str(number))
        return None if body.strip() == expected else f"wrong body: {body.strip()[:80]!r}"

    async def _until_zero(self, keys: Sequence[FunctionKey]) -> None:
        try:
            async with asyncio.timeout(_ZERO_SECONDS):
                while not all(self._is_at_zero(key) for key in keys):  # noqa: ASYNC110
                    await asyncio.sleep(_SAMPLE_SECONDS)
        except TimeoutError:
            self.tally.wrong[f"not back at zero within {_ZERO_SECONDS:g} s"] += 1

    def _is_at_zero(self, key: FunctionKey) -> bool:
        return not self._session.platform.instances(key)

    async def _observe(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(_SAMPLE_SECONDS)
            now = time.monotonic()
            for row in self._session.rows():
                most = self.tally.most_replicas
                most[row.key] = max(most[row.key], row.ready)
                if not row.replicas:
                    self.tally.zero_seconds[row.key] += now - before
            before = now

    def _say(self, text: str) -> None:
        self._console.print(f"--- {text}", markup=False, highlight=False)

    def _summary(self) -> None:
        tally = self.tally
        self._say("summary")
        for key in (row.key for row in self._session.rows()):
            self._line(
                f"{key}: max replicas {tally.most_replicas[key]}, "
                f"{tally.zero_seconds[key]:.1f} s at zero"
            )
        self._line(f"cold starts: {_cold_starts(self._session)}")
        for problem, times in tally.wrong.items():
            self._line(f"WRONG {times} x {problem}")
        self._line(f"requests {tally.requests}, wrong {sum(tally.wrong.values())}")

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _cold_starts(session: Session) -> str:
    session.rows()
    found = list(session.cold_starts.values())
    if not found:
        return "none"
    named = {phase: [c.phases[phase] for c in found if phase in c.phases] for phase in PHASES}
    named["total"] = [cold_start.total_ms for cold_start in found]
    parts = [
        f"{phase} {median(values):.0f}/{max(values):.0f}"
        for phase, values in named.items()
        if values
    ]
    return f"{len(found)}, p50/max in ms: " + ", ".join(parts)
