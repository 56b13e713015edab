"""Many plain Deployments scaled 0 -> 1 at once: what the machine needs without Torpor.

What a burst of wakes takes is mostly the time of kubelet, container runtime and Kubernetes' own
controllers, which write no faster than their rate limits; this measures that share alone.
"""

from __future__ import annotations

import asyncio
import time

from tests.cluster.api import Json, condition, until
from tests.cluster.harness import Lab
from tests.load.bench_coldstart import deployment
from torpor.platform.kubernetes.resources import DEPLOYMENTS, PODS

LABEL = "torpor-bench/plain"
AT_ONCE = 32
MAKE_SECONDS = 300.0
END_SECONDS = 300.0


async def free_places(lab: Lab) -> int:
    """Return how many pods more the nodes take."""
    nodes = await lab.api.get("/api/v1/nodes")
    places = sum(int(node["status"]["allocatable"]["pods"]) for node in nodes["items"])
    pods = await lab.api.get("/api/v1/pods?fieldSelector=status.phase%3DRunning")
    return places - len(pods["items"])


async def plain_burst(lab: Lab, count: int, deadline_seconds: float) -> list[float]:
    """Return the seconds from the scale call to Ready of each; those never Ready the deadline."""
    names = [f"plain-{number}" for number in range(count)]
    places = asyncio.Semaphore(AT_ONCE)

    async def make(name: str) -> None:
        async with places:
            await lab.api.apply(deployment(lab, name, {LABEL: name}))

    await asyncio.gather(*(make(name) for name in names))
    await until("the plain Deployments seen", lambda: _seen(lab, names), MAKE_SECONDS, every=1)
    try:
        return await _scaled(lab, names, deadline_seconds)
    finally:
        await asyncio.gather(
            *(lab.api.delete(DEPLOYMENTS.path(lab.namespace, name)) for name in names)
        )
        await until("no plain pod left", lambda: _none_left(lab), END_SECONDS, every=1)


async def _scaled(lab: Lab, names: list[str], deadline_seconds: float) -> list[float]:
    began: dict[str, float] = {}
    ready: dict[str, float] = {}
    watching = asyncio.Event()

    async def scale(name: str) -> None:
        began[name] = time.monotonic()
        path = DEPLOYMENTS.path(lab.namespace, name, "scale")
        await lab.api.merge(path, {"spec": {"replicas": 1}})

    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(_watch(lab, watching, ready, len(names)), name="watch")
        await asyncio.wait_for(watching.wait(), 10)
        await asyncio.gather(*(scale(name) for name in names))
        await asyncio.wait([watch], timeout=deadline_seconds)
        watch.cancel()
    return [ready.get(name, began[name] + deadline_seconds) - began[name] for name in names]


async def _watch(lab: Lab, watching: asyncio.Event, ready: dict[str, float], count: int) -> None:
    """Note when the pod of each was first Ready, until all were."""
    query = f"labelSelector={LABEL}&sendInitialEvents=true"
    query += "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async for kind, pod in lab.api.watch(PODS.path(lab.namespace), query):
        if kind == "BOOKMARK":
            watching.set()
        elif condition(pod, "Ready").get("status") == "True":
            ready.setdefault(pod["metadata"]["labels"][LABEL], time.monotonic())
        if len(ready) == count:
            return


async def _seen(lab: Lab, names: list[str]) -> bool | None:
    found: list[Json] = await lab.api.items(DEPLOYMENTS, lab.namespace)
    seen = {item["metadata"]["name"] for item in found if item.get("status")}
    return True if seen >= set(names) else None


async def _none_left(lab: Lab) -> bool | None:
    return None if await lab.api.items(PODS, lab.namespace, LABEL) else True
