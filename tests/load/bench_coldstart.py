"""How long a cold start takes, next to what Kubernetes alone needs on the same machine right then.

In turn, twenty times each: a runtime function, the same with a volume, a function of a plain image,
and that image as a Deployment of its own that is scaled 0 -> 1 without Torpor, timed to Ready by a
watch that was open before. Before each one nothing is asked for and no pod exists, for a second in
which the node tidies up after the one before. The kubelet looks at its containers once a second,
which is also how it is seen that there is no pod: so each round begins another part of a second
later, else all would fall on the same moment between two looks. A cold start is timed by the
client, from connecting to the first byte of the answer; its phases are those in the Function's
status. The last line is for programs.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.api import Api, Json, condition, until
from tests.cluster.harness import IMAGE, Lab, kubeconfig, what_is_missing
from tests.cluster.traffic import percentile, send
from torpor.platform.kubernetes.resources import DEPLOYMENTS, NAMESPACES, PODS
from torpor.resources.load import PHASES
from torpor.resources.names import LABEL_FUNCTION

ROUNDS = int(os.environ.get("TORPOR_BENCH_ROUNDS", "20"))
SCALING = {"idleSeconds": 1, "windowSeconds": 6, "burstWindowSeconds": 2}
CODE = "def handler(event, context):\n    return 'hello'\n"
KUBELET_LOOKS_SECONDS = 1.0
"""How often the kubelet lists its containers (its generic PLEG)."""
TIDYING_SECONDS = 1.0
RUNTIME, VOLUME, PLAIN_IMAGE, KUBERNETES = "runtime", "volume", "image", "kubernetes"

Seconds = dict[str, list[float]]
Phases = dict[str, dict[str, list[float]]]


async def main() -> int:
    """Run all rounds and print the figures; 1 if there is no cluster to run on."""
    missing = what_is_missing()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    async with Api(str(kubeconfig())) as api:
        lab = Lab(api, f"torpor-bench-{secrets.token_hex(3)}")
        name = {"name": lab.namespace}
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
        try:
            report(*await measure(lab))
        finally:
            await api.delete(NAMESPACES.path("", lab.namespace))
    return 0


async def measure(lab: Lab) -> tuple[Seconds, Phases]:
    """Return seconds by subject, and milliseconds by subject and phase."""
    code: Json = {"runtime": "python3", "handler": "main.handler", "code": {"inline": CODE}}
    volumes = [{"name": "cache", "mountPath": "/cache", "emptyDir": {}}]
    hosts = {
        PLAIN_IMAGE: await lab.make(PLAIN_IMAGE, scaling=SCALING),
        RUNTIME: await lab.make(RUNTIME, **code, scaling=SCALING),
        VOLUME: await lab.make(VOLUME, **code, volumes=volumes, scaling=SCALING),
    }
    await lab.api.apply(deployment(lab, KUBERNETES, {LABEL_FUNCTION: KUBERNETES}))
    seconds: Seconds = defaultdict(list)
    phases: Phases = {name: defaultdict(list) for name in hosts}
    for number in range(ROUNDS):
        later = TIDYING_SECONDS + KUBELET_LOOKS_SECONDS * number / ROUNDS
        for name, host in hosts.items():
            await at_zero(lab, name, later)
            seconds[name].append(await cold_start(lab, name, host, phases[name]))
        await at_zero(lab, KUBERNETES, later)
        seconds[KUBERNETES].append(await plain_start(lab))
        shown = ", ".join(f"{name} {values[-1]:.3f} s" for name, values in seconds.items())
        print(f"round {number + 1} of {ROUNDS}: {shown}", flush=True)
    return seconds, phases


async def at_zero(lab: Lab, name: str, later: float) -> None:
    """Return so many seconds after there is nothing left of it."""
    await lab.zero(name)
    await asyncio.sleep(later)


async def cold_start(lab: Lab, name: str, host: str, phases: dict[str, list[float]]) -> float:
    """Return the seconds to the first byte of a function that had no pod, and note its phases."""
    samples = cold_starts(await lab.get(name)).get("samples", 0)
    answer = await send(host)
    assert answer.status == 200, answer
    assert answer.cold_ms is not None, f"{name} was awake"

    async def counted() -> Json | None:
        found = cold_starts(await lab.get(name))
        return found if found.get("samples", 0) > samples else None

    found = await until(f"the cold start in the status of {name}", counted, within=15)
    for phase, milliseconds in found["last"].items():
        phases[phase].append(float(milliseconds))
    phases["first byte"].append(answer.first_byte_seconds * 1000)
    return answer.first_byte_seconds


def cold_starts(function: Json) -> Json:
    """Return what a Function's status says about its cold starts; empty before the first."""
    found: Json = function.get("status", {}).get("coldStart", {})
    return found


async def plain_start(lab: Lab) -> float:
    """Return the seconds from the scale call to Ready, without Torpor; then back to zero."""
    ready, watching = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        watch = tasks.create_task(watch_ready(lab, watching, ready), name="watch")
        await asyncio.wait_for(watching.wait(), 10)
        began = time.monotonic()
        await scale(lab, 1)
        await asyncio.wait_for(ready.wait(), 60)
        took = time.monotonic() - began
        watch.cancel()
    await scale(lab, 0)
    return took


async def watch_ready(lab: Lab, watching: asyncio.Event, ready: asyncio.Event) -> None:
    """Set `watching` once the watch is open, and `ready` when a pod of ours is Ready."""
    query = f"labelSelector={LABEL_FUNCTION}%3D{KUBERNETES}&sendInitialEvents=true"
    query += "&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async for kind, pod in lab.api.watch(PODS.path(lab.namespace), query):
        if kind == "BOOKMARK":
            watching.set()
        elif condition(pod, "Ready").get("status") == "True":
            ready.set()


async def scale(lab: Lab, replicas: int) -> None:
    """Ask for so many replicas of the plain Deployment."""
    path = DEPLOYMENTS.path(lab.namespace, KUBERNETES, "scale")
    await lab.api.merge(path, {"spec": {"replicas": replicas}})


def deployment(lab: Lab, name: str, labels: Mapping[str, str]) -> Json:
    """Return a plain Deployment: the same image and probe, nothing of Torpor.

    `labels` are those of its pods. `Lab.zero` finds them by Torpor's.
    """
    container = {
        "name": "function",
        "image": IMAGE,
        "env": [{"name": "PORT", "value": "8080"}],
        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": lab.namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": dict(labels)},
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "containers": [container],
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                },
            },
        },
    }


def report(seconds: Seconds, phases: Phases) -> None:
    """Print the machine, the totals, the phases, and the line for programs."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    print(f"\nmachine: {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}")
    print(f"image: {IMAGE}; load average at the end {Path('/proc/loadavg').read_text()[:14]}")
    print(f"\n{'seconds':<24}{'p50':>8}{'p95':>8}{'max':>8}{'n':>5}")
    titles = {
        RUNTIME: "runtime function",
        VOLUME: "runtime with a volume",
        PLAIN_IMAGE: "function of an image",
        KUBERNETES: "Kubernetes 0->1 Ready",
    }
    for name, title in titles.items():
        print(f"{title:<24}" + cells(seconds[name], 3))
    for name in (RUNTIME, VOLUME, PLAIN_IMAGE):
        print(f"\n{titles[name] + ', ms':<24}{'p50':>8}{'p95':>8}{'max':>8}{'n':>5}")
        for phase in (*PHASES, "total", "first byte"):
            if phases[name][phase]:
                print(f"  {phase:<22}" + cells(phases[name][phase], 0))
    print(last_line(seconds))


def cells(values: Sequence[float], digits: int) -> str:
    """Return p50, p95 and max, and of how many; a phase that could not be seen is not counted."""
    figures = (percentile(values, 0.5), percentile(values, 0.95), max(values))
    return "".join(f"{figure:>8.{digits}f}" for figure in figures) + f"{len(values):>5}"


def last_line(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return the figures that programs read, in seconds; ratios, to Kubernetes', have no unit."""
    runtime, image = seconds[RUNTIME], percentile(seconds[PLAIN_IMAGE], 0.5)
    plain = percentile(seconds[KUBERNETES], 0.5)
    return (
        f"coldstart p50={percentile(runtime, 0.5):.3f} p95={percentile(runtime, 0.95):.3f} "
        f"max={max(runtime):.3f} image_p50={image:.3f} kubernetes={plain:.3f} "
        f"ratio={image / plain:.3f} runtime_ratio={percentile(runtime, 0.5) / plain:.3f}"
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
