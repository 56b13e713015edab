"""Requests from the machine to the gateway: a connection of its own for each, nothing sent twice.

A request that gets no answer is a lost one; it is counted, never repeated, because a client that
retries hides exactly what these tests look for.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

GATEWAY = os.environ.get("TORPOR_TEST_GATEWAY", "http://127.0.0.1:18080").removeprefix("http://")
DEADLINE_SECONDS = 70.0
MOST_OPEN = 400
"""So many requests are open at once in a steady load; on a machine too busy for its rate it sends
fewer instead of piling them up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `status` 0 means nothing did, and `problem` says why."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    first_byte_seconds: float
    seconds: float
    problem: str = ""

    @property
    def pod(self) -> str:
        """The pod that answered."""
        return self.headers.get("x-pod", "")

    @property
    def cold_ms(self) -> int | None:
        """How long the function took to wake, if this request woke it."""
        value = self.headers.get("x-torpor-cold-start")
        return int(value) if value else None

    def __str__(self) -> str:
        text = self.problem or self.body[:300].decode(errors="replace").strip()
        return f"{self.status} after {self.seconds:.2f} s: {text}"


@dataclass(slots=True)
class Tally:
    """All answers of a load, in the order in which they came."""

    sent: int = 0
    answers: list[Answer] = field(default_factory=list)

    @property
    def failed(self) -> list[Answer]:
        """Those that are not 200."""
        return [answer for answer in self.answers if answer.status != 200]

    def __str__(self) -> str:
        by_status = Counter(answer.status for answer in self.answers)
        lost = by_status.pop(0, 0) + self.sent - len(self.answers)
        answered = ", ".join(f"{count} x {status}" for status, count in sorted(by_status.items()))
        times = [answer.seconds for answer in self.answers] or [0.0]
        return (
            f"sent {self.sent}, answered {answered or 'none'}, lost {lost}; "
            f"p50 {percentile(times, 0.5):.3f} s, p95 {percentile(times, 0.95):.3f} s, "
            f"max {max(times):.3f} s"
        )

    def all_200(self) -> None:
        """AssertionError, with the first failures, unless every request was answered 200."""
        shown = "\n".join(str(answer) for answer in self.failed[:5])
        assert not self.failed, f"{self}\n{shown}"
        assert len(self.answers) == self.sent > 0, str(self)


async def send(
    host: str,
    path: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] = MappingProxyType({}),
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Answer:
    """Send one request over a connection of its own; every failure is an Answer with status 0."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(deadline_seconds):
            return await _exchange(began, _request(host, path, method, body, headers))
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        passed = time.monotonic() - began
        problem = f"{type(error).__name__} {error}"
        return Answer(0, {}, b"", passed, passed, problem)


def _request(host: str, path: str, method: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body or method != "GET" else ""
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    fields = f"Host: {host}\r\nConnection: close\r\n{more}{length}"
    head = f"{method} {path} HTTP/1.1\r\n{fields}\r\n"
    return head.encode() + body


async def _exchange(began: float, request: bytes) -> Answer:
    address, _, port = GATEWAY.partition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    try:
        writer.write(request)
        await writer.drain()
        first = await reader.readexactly(1)
        first_byte = time.monotonic() - began
        head = first + await reader.readuntil(b"\r\n\r\n")
        status, headers = _head(head)
        while status == 100:
            status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
        body = await _body(reader, headers)
        return Answer(status, headers, body, first_byte, time.monotonic() - began)
    finally:
        writer.close()


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return int(status.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.read()
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(parts)


async def at_once(host: str, paths: Iterable[str]) -> Tally:
    """Send one request for each path, all at the same moment."""
    tally = Tally()
    async with asyncio.TaskGroup() as tasks:
        for number, path in enumerate(paths):
            tasks.create_task(_counted(tally, host, path), name=f"request {number}")
    return tally


@asynccontextmanager
async def steady(
    host: str, per_second: float, path: str = "/", method: str = "GET"
) -> AsyncIterator[Tally]:
    """Send so many requests a second, whatever becomes of them, until the block ends.

    While `MOST_OPEN` of them have no answer yet, the next one waits. A `{n}` in the path is the
    request's number, from 0. At the end of the block those that are still open are waited for.
    """
    tally = Tally()
    async with asyncio.TaskGroup() as tasks:
        pumping = _pump(tasks, tally, host, per_second, path, method)
        pump = tasks.create_task(pumping, name="pump")
        yield tally
        pump.cancel()


@asynccontextmanager
async def busy(host: str, clients: int, path: str) -> AsyncIterator[Tally]:
    """Keep `clients` requests open at all times until the block ends."""
    tally, stop = Tally(), asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            await _counted(tally, host, path)

    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(client(), name=f"client {number}")
        try:
            yield tally
        finally:
            stop.set()


async def _pump(
    tasks: asyncio.TaskGroup, tally: Tally, host: str, per_second: float, path: str, method: str
) -> None:
    began = time.monotonic()
    while True:
        due = began + tally.sent / per_second
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        while tally.sent - len(tally.answers) >= MOST_OPEN:
            await asyncio.sleep(1 / per_second)
            began += 1 / per_second
        sending = _counted(tally, host, path.replace("{n}", str(tally.sent)), method)
        tasks.create_task(sending, name=f"request {tally.sent}")
        await asyncio.sleep(0)


async def _counted(tally: Tally, host: str, path: str, method: str = "GET") -> None:
    tally.sent += 1
    tally.answers.append(await send(host, path, method=method))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the least value that `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
