"""The log lines of a function's instances, also of those that start while one looks."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TextIO

from torpor.cli.cluster import Cluster, Request
from torpor.cli.loglines import ALL, Belonging
from torpor.errors import ApiError
from torpor.platform.kubernetes.resources import PODS
from torpor.platform.kubernetes.transport import error_of
from torpor.resources.names import CONTAINER_FUNCTION, LABEL_FUNCTION, FunctionKey

LOOK_SECONDS = 1.0
"""How often --follow looks for new instances."""
NOT_STARTED = 400
"""What the API answers for a container that has not run yet."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: the last `tail` of each instance (None: all), of the ended container before.

    Of those the ones that have the ids of `belonging`.
    """

    tail: int | None = None
    previous: bool = False
    belonging: Belonging = ALL

    def query(self, *, follow: bool) -> str:
        """Return the parameters of the pod's log."""
        parts = [f"container={CONTAINER_FUNCTION}"]
        parts += [f"tailLines={self.tail}"] if self.tail is not None else []
        parts += ["previous=true"] if self.previous else []
        parts += ["follow=true"] if follow else []
        return "?" + "&".join(parts)


@dataclass(frozen=True, slots=True)
class Printer:
    """Prints the lines of one instance that are wanted."""

    belonging: Belonging
    prefix: str
    out: TextIO

    def write(self, line: str) -> None:
        """Print a line, if it is wanted."""
        if self.belonging.covers(line):
            self.out.write(f"{self.prefix}{line}\n")
            self.out.flush()


async def print_logs(cluster: Cluster, key: FunctionKey, wanted: Wanted, out: TextIO) -> int:
    """Print what the instances have written so far; return how many instances there are."""
    pods = await _pods(cluster, key)
    for pod in pods:
        printer = Printer(wanted.belonging, _prefix(pod, len(pods)), out)
        await _copy(cluster, key, pod, wanted.query(follow=False), printer)
    return len(pods)


async def follow_logs(cluster: Cluster, key: FunctionKey, wanted: Wanted, out: TextIO) -> None:
    """Print what the instances write, those to come included, until cancelled."""
    try:
        async with asyncio.TaskGroup() as tasks:
            await _follow(tasks, cluster, key, wanted, out)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None  # the first one ended the others


async def _follow(
    tasks: asyncio.TaskGroup, cluster: Cluster, key: FunctionKey, wanted: Wanted, out: TextIO
) -> None:
    known: set[str] = set()
    while True:
        for pod in await _pods(cluster, key):
            if pod not in known:
                known.add(pod)
                printer = Printer(wanted.belonging, f"[{pod}] ", out)
                work = _copy(cluster, key, pod, wanted.query(follow=True), printer)
                tasks.create_task(work, name=f"logs of {pod}")
        await asyncio.sleep(LOOK_SECONDS)


async def _pods(cluster: Cluster, key: FunctionKey) -> list[str]:
    """Return the instances whose container has run."""
    selector = {"labelSelector": f"{LABEL_FUNCTION}={key.name}"}
    items = (await cluster.get(PODS.path(key.namespace), selector))["items"]
    started = [pod for pod in items if _has_started(pod)]
    return sorted(str(pod["metadata"]["name"]) for pod in started)


def _has_started(pod: dict[str, object]) -> bool:
    status = pod.get("status")
    containers = status.get("containerStatuses", []) if isinstance(status, dict) else []
    ours = [item for item in containers if item["name"] == CONTAINER_FUNCTION]
    return any(item.get("state", {}).keys() & {"running", "terminated"} for item in ours) or any(
        item.get("restartCount", 0) for item in ours
    )


def _prefix(pod: str, count: int) -> str:
    return f"[{pod}] " if count > 1 else ""


async def _copy(cluster: Cluster, key: FunctionKey, pod: str, query: str, printer: Printer) -> None:
    path = PODS.path(key.namespace, pod, "log") + query
    async with cluster.stream(Request("GET", path, {})) as answer:
        if answer.status >= 300:
            _explain(error_of(answer.status, await answer.read()), pod)
            return
        async for line in answer.content:
            printer.write(line.decode(errors="replace").rstrip("\n"))


def _explain(error: ApiError, pod: str) -> None:
    """Go on without an instance that left meanwhile, or has nothing yet; anything else is told."""
    if error.status not in (404, NOT_STARTED):
        raise error
    print(f"torpor fn: {pod} has no such log: {error}", file=sys.stderr)
