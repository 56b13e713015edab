"""How fast workflows are, next to peers from PyPI on the same machine in the same run.

- Pure transitions a second: no ledger, no tasks, one process; next to LocalStack's interpreter.
- A workflow of three tasks, from the call that starts it to its durable end, calls included; next
  to DBOS, with three steps that call the same function, on the same PostgreSQL (fsync on).
- Workflows started (and ended) a second, for TORPOR_BENCH_SECONDS (60); commit sizes.

Rounds of the two that are compared take turns, and figures are medians of the rounds. A ratio is
the median of the ratios of the rounds, printed with the least and the greatest. That of the pure
machine is of CPU time, which other work on the machine disturbs least; that of workflows a second
takes each side at the number at once that suits it best. The last line is for programs: its
transitions are a second of wall-clock time, its ratios say how many times better Torpor is.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.load import workflow_peers as peers
from tests.load.workflow_definitions import Load, Rate, loop, mapped, orders, transitions_per_second
from tests.load.workflow_engine import Bench, Round, at_work, percentile
from tests.load.workflow_peers import Peer, PeerAway

SECONDS = float(os.environ.get("TORPOR_BENCH_SECONDS", "60"))
ROUNDS = 3
ROUND_SECONDS = min(6.0, SECONDS / 5)
PURE_SECONDS = min(1.0, SECONDS / 10)
MANY = 64
AT_ONCE = (1, 16, MANY)
LOOP = loop(100)
PURE = (loop(1), LOOP, loop(10_000), mapped(1), mapped(100), orders(1), orders(100))
OURS, DBOS, LOCALSTACK = "torpor", "dbos", "localstack"


@dataclass
class Figures:
    """What was measured."""

    rates: dict[str, list[Rate]] = field(default_factory=lambda: defaultdict(list))
    rounds: dict[tuple[str, int], list[Round]] = field(default_factory=lambda: defaultdict(list))
    wal: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ratios: dict[str, float] = field(default_factory=dict)

    def ratio(self, name: str, better: list[float], than: list[float]) -> str:
        """How many times, round by round, in words; kept for the last line."""
        each = [one / other for one, other in zip(better, than, strict=True)]
        self.ratios[name] = statistics.median(each)
        return f"{self.ratios[name]:.1f} times ({min(each):.1f} to {max(each):.1f})"


async def main() -> int:
    """Measure and print; 1 if the bench itself cannot run here."""
    figures = Figures()
    print(machine())
    print(f"{ROUNDS} rounds in turn, medians of the rounds", flush=True)
    await compare_pure(figures)
    async with at_work() as bench, AsyncExitStack() as stack:
        peer = await join(stack, bench)
        await compare_engine(figures, bench, peer)
        sustained = await sustain(figures, bench)
    print(f"load average at the end {Path('/proc/loadavg').read_text()[:14]}")  # noqa: ASYNC240
    transitions = statistics.median(one.wall for one in figures.rates[LOOP.name])
    overhead = pooled(figures.rounds[OURS, 1])
    peer_words = ",".join(f"{name}:{ratio:.1f}" for name, ratio in figures.ratios.items())
    print(
        f"workflows transitions_per_s={transitions:.0f} "
        f"overhead_p50_ms={percentile(overhead, 50):.1f} "
        f"overhead_p99_ms={percentile(overhead, 99):.1f} "
        f"starts_per_s={sustained.per_second:.0f} peer={peer_words or 'none'}"
    )
    return 0


def machine() -> str:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return (
        f"machine: {os.cpu_count()} cores ({processor()}), {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}; "
        f"load average {Path('/proc/loadavg').read_text()[:14]}"
    )


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# --- the pure machine ---------------------------------------------------------------------------
async def compare_pure(figures: Figures) -> None:
    """Pure transitions a second, and LocalStack's in the same loop."""
    async with AsyncExitStack() as stack:
        peer = None
        try:
            peer = await stack.enter_async_context(peers.started(peers.LOCALSTACK))
        except PeerAway as reason:
            print(f"no peer for pure transitions: {reason}")
        for _ in range(ROUNDS):
            for load in PURE:
                rate = transitions_per_second(load, PURE_SECONDS)
                figures.rates[load.name].append(rate)
            if peer is not None:
                figures.rates[LOCALSTACK].append(await localstack_rate(peer, LOOP))
    print(f"{'pure transitions a second of':<34}{'wall time':>12}{'CPU time':>12}")
    for load in PURE:
        print(pure_row(f"{OURS}, {load.name}", figures.rates[load.name]))
    if peer is not None:
        print(pure_row(f"{LOCALSTACK}, {LOOP.name}", figures.rates[LOCALSTACK]))
        ours = [one.cpu for one in figures.rates[LOOP.name]]
        theirs = [one.cpu for one in figures.rates[LOCALSTACK]]
        words = figures.ratio("localstack-transitions", ours, theirs)
        print(f"  Torpor enters {words} as many states as LocalStack a second of CPU time")


async def localstack_rate(peer: Peer, load: Load) -> Rate:
    answer = await peer.ask(definition=load.definition, input=load.input, seconds=PURE_SECONDS)
    return Rate(answer["wall"], answer["cpu"])


def pure_row(title: str, rates: list[Rate]) -> str:
    wall = statistics.median(one.wall for one in rates)
    cpu = statistics.median(one.cpu for one in rates)
    return f"{title:<34}{wall:>12,.0f}{cpu:>12,.0f}"


# --- the engine ---------------------------------------------------------------------------------
async def join(stack: AsyncExitStack, bench: Bench) -> Peer | None:
    """DBOS on the same PostgreSQL server, in a database of its own; None when it cannot run."""
    dsn = bench.server.dsn_of(DBOS).replace("postgresql:", "postgresql+psycopg:", 1)
    try:
        return await stack.enter_async_context(peers.started(peers.DBOS, dsn, bench.functions_url))
    except PeerAway as reason:
        print(f"no peer for durable workflows: {reason}")
        return None


async def compare_engine(figures: Figures, bench: Bench, peer: Peer | None) -> None:
    """Workflows of three tasks: one at a time, 16 at once, and as fast as they go."""
    for _ in range(ROUNDS):
        for at_once in AT_ONCE:
            before = await bench.wal_bytes()
            mine = await bench.round(at_once, ROUND_SECONDS)
            between = await bench.wal_bytes()
            keep(figures, OURS, at_once, mine, between - before)
            if peer is not None:
                answer = await peer.ask(at_once=at_once, seconds=ROUND_SECONDS)
                theirs = Round(answer["ms"], answer["seconds"])
                keep(figures, DBOS, at_once, theirs, await bench.wal_bytes() - between)
    calls = [await bench.call_ms() for _ in range(200)]
    print(f"one call of the function by itself: p50 {percentile(calls, 50):.2f} ms")
    print(f"{'three tasks, ms, fsync on':<34}{'p50':>9}{'p99':>9}{'a second':>10}{'n':>8}")
    for name, at_once in figures.rounds:
        print(row(f"{name}, {at_once} at once", figures.rounds[name, at_once]))
    if peer is not None:
        print(compared(figures))


def keep(figures: Figures, name: str, at_once: int, found: Round, wal_bytes: int) -> None:
    figures.rounds[name, at_once].append(found)
    if at_once == MANY:
        figures.wal[name].append(wal_bytes / len(found.ms))


def compared(figures: Figures) -> str:
    slow = [[percentile(one.ms, 50) for one in figures.rounds[of, 1]] for of in (DBOS, OURS)]
    overhead = figures.ratio("dbos-overhead", *slow)
    starts = figures.ratio("dbos-starts", best(figures, OURS), best(figures, DBOS))
    return f"  DBOS takes {overhead} as long, one at a time; Torpor does {starts} as many a second"


def best(figures: Figures, name: str) -> list[float]:
    """Workflows a second in each round, at the number at once that did most in it."""
    by_number = [figures.rounds[name, at_once] for at_once in AT_ONCE]
    return [max(one.per_second for one in same) for same in zip(*by_number, strict=True)]


def row(title: str, rounds: list[Round]) -> str:
    p50, p99 = middle(rounds, 50), middle(rounds, 99)
    number = sum(len(one.ms) for one in rounds)
    return f"{title:<34}{p50:>9.1f}{p99:>9.1f}{rate_of(rounds):>10.0f}{number:>8}"


def middle(rounds: list[Round], of_hundred: float) -> float:
    """The median of the rounds' percentiles."""
    return statistics.median(percentile(one.ms, of_hundred) for one in rounds)


def rate_of(rounds: list[Round]) -> float:
    return statistics.median(one.per_second for one in rounds)


def pooled(rounds: list[Round]) -> list[float]:
    return [ms for one in rounds for ms in one.ms]


async def sustain(figures: Figures, bench: Bench) -> Round:
    """Start and end workflows for the whole time, and print what they cost the ledger."""
    bench.ledger.commit_bytes.clear()
    thirds = [await bench.round(MANY, SECONDS / 3) for _ in range(3)]
    found = Round(pooled(thirds), sum(one.seconds for one in thirds))
    words = ", ".join(f"{one.per_second:.0f}" for one in thirds)
    sizes = bench.ledger.commit_bytes
    print(
        f"sustained for {found.seconds:.0f} s, {MANY} at once: {found.per_second:.0f} workflows "
        f"started and ended a second (by thirds {words}), p50 {percentile(found.ms, 50):.0f} ms"
    )
    print(
        f"commit sizes: p50 {percentile(sizes, 50):.0f} bytes, max {max(sizes)} bytes, "
        f"{len(sizes) / len(found.ms):.1f} commits a workflow"
    )
    for name, each in figures.wal.items():
        print(f"write-ahead log a workflow, {name}: {statistics.median(each) / 1024:.1f} KiB")
    return found


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
