"""How fast events are matched and delivered, next to what people would write by hand.

- Events a second matched against 100, 1,000 and 10,000 patterns.
- From the call that publishes one event to the function that gets it, by way of the events API, a
  bus with 100 patterns and an inbox: one at a time, everything warm.
- Events a second from being published to the function, one a call and 100 a call; next to bare
  consumers that call the same function: redis-py on a Redis stream, nats-py on a work queue. The
  latter is the ceiling: no retries, dead letters, filters or limits.
- Memory of nats-server and of the role with 1,000,000 events waiting.

Each with the log written to disk before an event counts as stored (`always`), and now and then
(`lazy`: nats-server's default of two minutes, Redis' `everysec`). Rounds take turns; figures are
medians of the rounds. The last line is for programs: its rates are by way of a queue, and it tells
of `lazy`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.load.bench_workflows import machine
from tests.load.events_at_work import (
    AT_ONCE,
    Function,
    Run,
    Torpor,
    bare_nats,
    bare_redis,
    event,
    function,
    torpor,
)
from tests.load.events_matching import SIZES, matched_per_second
from tests.load.workflow_engine import percentile
from tests.support.servers.daemon import program_path
from torpor.triggers.broker import names

ROUNDS = int(os.environ.get("TORPOR_BENCH_ROUNDS", "3"))
EVENTS = int(os.environ.get("TORPOR_BENCH_EVENTS", "5000"))
BACKLOG = int(os.environ.get("TORPOR_BENCH_BACKLOG", "1000000"))
LATENCIES = 200
_PAUSE_SECONDS = 0.01
_CHUNK = 2_000
BATCH = 100
LAZY, ALWAYS = "lazy", "always"
SYNC_INTERVAL = {LAZY: "2m", ALWAYS: "always"}
APPEND_FSYNC = {LAZY: "everysec", ALWAYS: "always"}
QUEUE, BUS, REDIS, NATS = "torpor, a queue", "torpor, a bus", "bare redis-py", "bare nats-py"

Kind = tuple[str, str, int]
"""What carries the events, how it writes to disk, and events a call."""


@dataclass
class Figures:
    """What was measured."""

    matched: dict[int, float] = field(default_factory=dict)
    runs: dict[Kind, list[Run]] = field(default_factory=lambda: defaultdict(list))
    ms: dict[str, list[Sequence[float]]] = field(default_factory=lambda: defaultdict(list))

    def per_second(self, kind: Kind) -> float:
        return statistics.median(run.per_second for run in self.runs[kind])

    def latency_ms(self, fsync: str, of_hundred: float) -> float:
        return statistics.median(percentile(ms, of_hundred) for ms in self.ms[fsync])


async def main() -> int:
    """Measure and print."""
    figures = Figures()
    print(machine())
    print(f"{ROUNDS} rounds in turn, medians of the rounds", flush=True)
    match(figures)
    async with function() as to:
        async with AsyncExitStack() as stack:
            running = {
                fsync: await stack.enter_async_context(torpor(to, interval))
                for fsync, interval in SYNC_INTERVAL.items()
            }
            await measure(figures, to, running)
        print_latency(figures)
        print_rates(figures)
        async with torpor(to, SYNC_INTERVAL[LAZY]) as one:
            await backlog(one)
    print(f"load average at the end {Path('/proc/loadavg').read_text()[:14]}")  # noqa: ASYNC240
    print(last_line(figures))
    return 0


def match(figures: Figures) -> None:
    for patterns in SIZES:
        figures.matched[patterns], matches = matched_per_second(patterns)
        print(
            f"matching {patterns:>6,} patterns: {figures.matched[patterns]:>9,.0f} events/s, "
            f"{matches:.1f} matches each",
            flush=True,
        )


# --- delivery -----------------------------------------------------------------------------------
async def measure(figures: Figures, to: Function, running: dict[str, Torpor]) -> None:
    """All rounds, in turn; the first is not counted."""
    buses = {fsync: await one.bus() for fsync, one in running.items()}
    for number in range(-1, ROUNDS):
        counted = figures if number >= 0 else Figures()
        for fsync, one in running.items():
            counted.ms[fsync].append(await latencies(one, buses[fsync]))
            counted.runs[BUS, fsync, 1].append(await one.through_bus(EVENTS // 2, buses[fsync]))
            for size in (1, BATCH):
                counted.runs[QUEUE, fsync, size].append(await one.through_queue(EVENTS, size))
        if number >= 0:
            await peers(counted, to)


async def latencies(one: Torpor, bus: str) -> Sequence[float]:
    """Milliseconds from publishing to the function, one event at a time."""

    async def publish(_: Sequence[bytes], first: int) -> None:
        for number in range(first, first + LATENCIES):
            await one.one(bus, number)
            await asyncio.sleep(_PAUSE_SECONDS)

    run = await one.function.run(LATENCIES, publish, event)
    return run.ms


async def peers(figures: Figures, to: Function) -> None:
    """The bare consumers, each as Torpor before."""
    made: list[tuple[str, Callable[[int, str], Awaitable[Run]]]] = [
        (NATS, lambda size, fsync: bare_nats(to, EVENTS, size, SYNC_INTERVAL[fsync]))
    ]
    if program_path("redis-server"):
        made.append((REDIS, lambda size, fsync: bare_redis(to, EVENTS, size, APPEND_FSYNC[fsync])))
    for name, run in made:
        for fsync in (LAZY, ALWAYS):
            for size in (1, BATCH):
                figures.runs[name, fsync, size].append(await run(size, fsync))


def print_latency(figures: Figures) -> None:
    for fsync in (LAZY, ALWAYS):
        print(
            f"publish to handler, {fsync:<6}: p50 {figures.latency_ms(fsync, 50):.1f} ms, "
            f"p99 {figures.latency_ms(fsync, 99):.1f} ms ({ROUNDS} rounds of {LATENCIES})"
        )


def print_rates(figures: Figures) -> None:
    if not program_path("redis-server"):
        print("no peer for Redis: there is no redis-server on this machine")
    print(f"bare consumers make {AT_ONCE} calls at once, and acknowledge; that is all they do")
    print(f"{'events a second, ' + f'{ROUNDS} rounds of {EVENTS}':<40}{LAZY:>10}{ALWAYS:>10}")
    for name, _, size in sorted({(name, "", size) for name, _, size in figures.runs}):
        rates = [figures.per_second((name, fsync, size)) for fsync in (LAZY, ALWAYS)]
        words = f"{name}, {size} a call"
        print(f"{words:<40}{rates[0]:>10,.0f}{rates[1]:>10,.0f}", flush=True)


def last_line(figures: Figures) -> str:
    sync, batched = (figures.per_second((QUEUE, LAZY, size)) for size in (1, BATCH))
    return (
        f"events sync_per_s={sync:.0f} batched_per_s={batched:.0f} "
        f"match_100_per_s={figures.matched[100]:.0f} "
        f"match_10000_per_s={figures.matched[10_000]:.0f} "
        f"p50_ms={figures.latency_ms(LAZY, 50):.1f} p99_ms={figures.latency_ms(LAZY, 99):.1f}"
    )


# --- memory -------------------------------------------------------------------------------------
async def backlog(one: Torpor) -> None:
    """So many events wait for a function that is slow, and what that costs in memory."""
    name = await one.queue(1, "/slow/")
    publish = one.publisher(names.queue_subject("shop", name))
    before, begun = memory_words(one), time.monotonic()
    for first in range(0, BACKLOG, _CHUNK):
        await publish([event(number) for number in range(first, first + _CHUNK)], first)
    seconds = time.monotonic() - begun
    state = await one.at.streams.state(names.queue_stream("shop", name))
    assert state is not None
    size = state.size_bytes / max(1, state.messages)
    print(
        f"backlog of {state.messages:,} events of {len(event(0))} bytes ({size:.0f} stored), "
        f"published at {BACKLOG / seconds:,.0f}/s: memory {memory_words(one)} (before: {before})",
        flush=True,
    )


def memory_words(one: Torpor) -> str:
    """The memory of the broker and of the role."""
    assert one.role.process is not None
    assert one.at.server.pid is not None
    broker, role = (resident_mib(pid) for pid in (one.at.server.pid, one.role.process.pid))
    return f"nats-server {broker:.0f} MiB, role {role:.0f} MiB"


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(found) / 1024


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
