"""`torpor run logs`: what the programs of a run write."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import dataclass, field
from typing import TextIO

from torpor.cli import cluster, gatewayreach
from torpor.cli.cluster import Cluster, Request
from torpor.cli.gatewayreach import Gateway
from torpor.cli.run import cluster as incluster
from torpor.cli.run import gateway
from torpor.cli.run.look import name_of
from torpor.cli.run.values import RunName
from torpor.functions.runs.seen import RunPod
from torpor.platform.kubernetes.resources import PODS
from torpor.platform.kubernetes.transport import error_of
from torpor.resources.names import CONTAINER_FUNCTION

LOOK_SECONDS = 1.0
_GONE_OR_NOT_STARTED = (400, 404)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose lines: of one `index` (None: of all), and of attempts that failed too."""

    index: int | None
    failed: bool
    follow: bool

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
        indexes = range(run.indexes.total) if wanted.index is None else (wanted.index,)
        for index in indexes:
            await _copy_index(way, name, index, run.indexes.total > 1, read, out)
        if not wanted.follow or run.state.is_final:
            return any(read.offsets.values())


async def _copy_index(
    way: Gateway, name: RunName, index: int, prefixed: bool, read: _Read, out: TextIO
) -> None:
    start = read.offsets.get(index, 0)
    lines, size = gateway.lines_of(await gateway.log(way, name, index, start))
    read.offsets[index] = start + size
    for line in lines:
        _write(out, f"[{index}] " if prefixed else "", line)


def _write(out: TextIO, prefix: str, line: bytes) -> None:
    out.write(prefix + line.decode(errors="replace").rstrip("\n") + "\n")
    out.flush()
