"""How much the gateway carries on one core, next to proxies that people know.

In turn, in each round: the function itself, Torpor's gateway (the whole role: HAProxy and the
Python beside it), HAProxy and nginx with nothing but one backend, Go's httputil.ReverseProxy (what
the gateways of Knative and of KEDA's http-add-on are made of), and a proxy written with aiohttp;
then the gateway with 200, 1,000 and 10,000 functions. As many requests a second as go through 32
connections (wrk), and at 500 a second (h2load) the time of each and the CPU that the proxy takes;
at the end its memory, of which one without load would hold somewhat less.

Proxies have one core, the function and whoever asks the other. Figures are medians of the rounds,
the overhead is that of the same round's p95. The last line is for programs.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.load import gateway_subjects as subjects
from tests.load.bench_workflows import machine
from tests.load.gateway_at_work import HOST
from tests.load.gateway_subjects import OTHER_CORE, Subject
from tests.load.workflow_engine import percentile
from tests.support.servers.daemon import program_path

ROUNDS = int(os.environ.get("TORPOR_BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("TORPOR_BENCH_SECONDS", "4"))
ROUTES = (1, 200, 1_000, 10_000)
CONNECTIONS = 32
STEADY_RPS = 500
STEADY_CONNECTIONS = 10
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_BAD = re.compile(r"(Non-2xx or 3xx responses|Socket errors): (.*)")


@dataclass(frozen=True, slots=True)
class Run:
    """One subject in one round: most requests a second, and at a steady rate p50, p95 and CPU.

    `mib` is its memory after both.
    """

    rps: float
    p50_ms: float
    p95_ms: float
    cpu_us: float
    mib: float


async def main() -> int:
    """Measure and print; 1 where a program is missing."""
    missing = [name for name in ("wrk", "h2load", "taskset") if not shutil.which(name)]
    if missing or (os.cpu_count() or 1) < 2:
        print(f"needs two cores and on the PATH: {', '.join(missing)}", file=sys.stderr)
        return 1
    runs: dict[str, list[Run]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(subjects.server())
            starts = peers(server.port, Path(folder))
            for number in range(ROUNDS):
                print(f"round {number + 1} of {ROUNDS}", flush=True)
                await asyncio.to_thread(add, runs, server)
                for start in starts:
                    async with start() as subject:
                        await asyncio.to_thread(add, runs, subject)
    report(runs)
    return 0


def peers(
    target: int, folder: Path
) -> Sequence[Callable[[], AbstractAsyncContextManager[Subject]]]:
    """Return how to start each proxy that can run here."""
    starts = [partial(subjects.gateway, target, routes) for routes in ROUTES]
    starts += [partial(subjects.bare_haproxy, target), partial(subjects.aiohttp_proxy, target)]
    if program_path("nginx"):
        starts.append(partial(subjects.nginx, target))
    if program := subjects.build_go_proxy(folder):
        starts.append(partial(subjects.go_proxy, target, program))
    return starts


def add(runs: dict[str, list[Run]], subject: Subject) -> None:
    """Measure a subject once."""
    most(subject, 1)  # connections, caches
    rps = most(subject, SECONDS)
    used = subject.cpu_seconds()
    times_ms = steady(subject)
    cpu_us = (subject.cpu_seconds() - used) * 1e6 / len(times_ms)
    p50_ms, p95_ms = (percentile(times_ms, share) for share in (50, 95))
    runs[subject.name].append(Run(rps, p50_ms, p95_ms, cpu_us, subject.memory_mib()))


def most(subject: Subject, seconds: int) -> float:
    """Return how many requests a second it answers."""
    out = _on_other_core(
        "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Host: {HOST}", _url(subject)
    )
    assert not _BAD.search(out), out
    found = _RATE.search(out)
    assert found, out
    return float(found[1])


def steady(subject: Subject) -> Sequence[float]:
    """Return the milliseconds of each request at a steady rate."""
    with tempfile.NamedTemporaryFile("r") as log:
        _on_other_core(
            "h2load", "--h1", f"-c{STEADY_CONNECTIONS}", "-t1", f"-D{SECONDS}",
            f"--rps={STEADY_RPS / STEADY_CONNECTIONS:g}", "-H", f":authority: {HOST}",
            f"--log-file={log.name}", _url(subject),
        )  # fmt: skip
        lines = [line.split() for line in log.read().splitlines()]
    assert lines, subject
    assert {status for _, status, _ in lines} == {"200"}, subject
    return [int(microseconds) / 1e3 for _, _, microseconds in lines]


def _url(subject: Subject) -> str:
    return f"http://127.0.0.1:{subject.port}/"


def _on_other_core(*words: str) -> str:
    command = ["taskset", "-c", str(OTHER_CORE), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def report(runs: dict[str, list[Run]]) -> None:
    """Print a line for each subject and one for programs."""
    print(f"\n{machine()}; medians of {ROUNDS} rounds\n")
    print(f"{'':<24}{'rps':>9}{'of direct':>11}{'p50 ms':>9}{'p95 ms':>9}{'CPU µs':>9}{'MiB':>7}")
    for name, found in runs.items():
        share = _median(
            run.rps / direct.rps for run, direct in zip(found, runs["direct"], strict=True)
        )
        print(
            f"{name:<24}{_median(run.rps for run in found):>9.0f}{share:>11.2f}"
            f"{_median(run.p50_ms for run in found):>9.2f}"
            f"{_median(run.p95_ms for run in found):>9.2f}"
            f"{_median(run.cpu_us for run in found):>9.0f}"
            f"{_median(run.mib for run in found):>7.0f}"
        )
    ours, many = (f"gateway, {routes} routes" for routes in (ROUTES[0], ROUTES[-1]))
    overhead_ms = _median(
        run.p95_ms - direct.p95_ms for run, direct in zip(runs[ours], runs["direct"], strict=True)
    )
    rates = {name: _median(run.rps for run in found) for name, found in runs.items()}
    go = f"{rates['go']:.0f}" if "go" in rates else "none"
    print(
        f"\ngateway rps={rates[ours]:.0f} direct={rates['direct']:.0f} go={go}"
        f" aiohttp={rates['aiohttp']:.0f} p95_overhead_ms={overhead_ms:.2f}"
        f" routes_10000_rps={rates[many]:.0f}"
    )


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
