"""`torpor run logs`: what the programs of a run write."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from torpor.cli import cluster, gatewayreach
from torpor.cli.cluster import Cluster, Request
from torpor.cli.gatewayreach import Gateway
from torpor.cli.run import cluster as incluster
from torpor.cli.run import gateway
from torpor.cli.run.look import name_of
from torpor.cli.run.values import NoSuchIndex, RunName
from torpor.functions.runs.seen import RunPod
from torpor.platform.kubernetes.resources import PODS
from torpor.platform.kubernetes.transport import error_of
from torpor.resources.names import CONTAINER_FUNCTION
from torpor.resources.run import Run

LOOK_SECONDS = 1.0
_LONGEST_LINE_BYTES = 1 << 19
"""A longer one is shown in parts: `torpor dev` gives 1 MiB at a time."""
_GONE_OR_NOT_STARTED = (400, 404)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose lines: of one `index` (None: of all), and of attempts that failed too."""

    index: int | None
    failed: bool
    follow: bool

    def indexes(self, run: Run) -> Sequence[int]:
        """Return the indexes to read; NoSuchIndex."""
        total = run.indexes.total
        if self.index is None:
            return range(total)
        if not 0 <= self.index < total:
            have = f"indexes 0 to {total - 1}" if total > 1 else "only index 0"
            raise NoSuchIndex(f"run {run.key.namespace}/{run.id} has {have}, not {self.index}")
        return (self.index,)

    def of(self, pods: list[RunPod]) -> list[RunPod]:
        """Return the pods to read: of each index the last, unless all are asked for."""
        chosen = [pod for pod in pods if self.index in (None, pod.index) and _has_run(pod)]
        if self.failed or self.follow:
            return chosen
        return list({pod.index: pod for pod in chosen}.values())


async def logs(args: argparse.Namespace) -> int:
    """Print what was written; with --follow until the run has ended."""
    name = name_of(args)
    wanted = Wanted(args.index, bool(args.all), bool(args.follow))
    if args.gateway:
        async with gatewayreach.connect(args) as way:
            found = await _of_dev(way, name, wanted, sys.stdout)
    else:
        async with cluster.connect(args) as api:
            found = await _of_cluster(api, name, wanted, sys.stdout)
    if not found:
        print(f"torpor run: no program of {name} has run yet, so there is no log", file=sys.stderr)
    return 0


def _has_run(pod: RunPod) -> bool:
    return bool(pod.started)


async def _of_cluster(api: Cluster, name: RunName, wanted: Wanted, out: TextIO) -> bool:
    """Return whether there was any pod to read."""
    run = await incluster.run(api, name)
    wanted.indexes(run)  # says it where there is none
    prefixed = run.indexes.total > 1 or wanted.failed or wanted.follow
    known: set[str] = set()
    try:
        async with asyncio.TaskGroup() as tasks:
            while True:
                for pod in wanted.of(await incluster.pods(api, name)):
                    if pod.name not in known:
                        known.add(pod.name)
                        prefix = f"[{pod.index}.{pod.attempt}] " if prefixed else ""
                        work = _copy(api, pod, prefix, wanted, out)
                        tasks.create_task(work, name=f"logs of {pod.name}")
                if not wanted.follow or run.state.is_final:
                    break
                await asyncio.sleep(LOOK_SECONDS)
                run = await incluster.run(api, name)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return bool(known)


async def _copy(api: Cluster, pod: RunPod, prefix: str, wanted: Wanted, out: TextIO) -> None:
    follow = "&follow=true" if wanted.follow else ""
    query = f"?container={CONTAINER_FUNCTION}{follow}"
    path = PODS.path(pod.namespace, pod.name, "log") + query
    async with api.stream(Request("GET", path, {})) as answer:
        if answer.status in _GONE_OR_NOT_STARTED:
            return
        if answer.status >= 300:
            raise error_of(answer.status, await answer.read())
        async for line in answer.content:
            _write(out, prefix, line)


@dataclass(slots=True)
class _Read:
    """How far the log of each index has been read, in bytes."""

    offsets: dict[int, int] = field(default_factory=dict)


async def _of_dev(way: Gateway, name: RunName, wanted: Wanted, out: TextIO) -> bool:
    """Return whether anything was written. All attempts of an index write to one log."""
    read = _Read()
    while True:
        run = await gateway.wait(way, name, int(LOOK_SECONDS) if wanted.follow else 0)
        for index in wanted.indexes(run):
            prefix = f"[{index}] " if run.indexes.total > 1 else ""
            await _copy_index(way, _Log(name, index, prefix, run.state.is_final), read, out)
        if not wanted.follow or run.state.is_final:
            return any(read.offsets.values())


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of one index; nothing is added to it any more when it is `complete`."""

    run: RunName
    index: int
    prefix: str
    complete: bool


async def _copy_index(way: Gateway, wanted: _Log, read: _Read, out: TextIO) -> None:
    """Write all that there is by now, part by part; a line that is being written comes later."""
    while True:
        start = read.offsets.get(wanted.index, 0)
        part = await gateway.log(way, wanted.run, wanted.index, start)
        lines, size = gateway.lines_of(part)
        if part and not size and (wanted.complete or len(part) >= _LONGEST_LINE_BYTES):
            lines, size = [part], len(part)
        if not size:
            return
        read.offsets[wanted.index] = start + size
        for line in lines:
            _write(out, wanted.prefix, line)


def _write(out: TextIO, prefix: str, line: bytes) -> None:
    out.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
    out.flush()
