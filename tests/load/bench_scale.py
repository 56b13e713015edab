"""What many sleeping Functions cost, and whether one or a hundred of them still wake.

Functions of the test image are made at zero, in steps. After each step the roles' memory and CPU
are read from the kubelet over a quiet minute, and over the longer quiet time at the end every write
to the API server is counted in the audit log. Then one of them is woken, several times, and last a
hundred at the same moment, and as many plain Deployments, which is what the machine needs for so
many pods without Torpor. The last line is for programs.

TORPOR_SCALE_FUNCTIONS (1000), TORPOR_QUIET_SECONDS (600) and TORPOR_REST_SECONDS (60) shorten it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.cluster.api import Api, condition, until
from tests.cluster.harness import SCALING_QUICK, SYSTEM, Lab, kubeconfig, what_is_missing
from tests.cluster.test_quiet import account, audited_node, events, read, size
from tests.cluster.traffic import Answer, percentile, send
from tests.load.bench_coldstart import cold_starts
from tests.load.plain_burst import free_places, plain_burst
from torpor.platform.kubernetes.resources import FUNCTIONS, NAMESPACES, PODS
from torpor.resources.load import PHASES

FUNCTIONS_COUNT = int(os.environ.get("TORPOR_SCALE_FUNCTIONS", "1000"))
STEPS = tuple(count for count in (0, 100, FUNCTIONS_COUNT) if count <= FUNCTIONS_COUNT)
BURST = min(100, FUNCTIONS_COUNT)
WAKES = 5
QUIET_SECONDS = float(os.environ.get("TORPOR_QUIET_SECONDS", "600"))
REST_SECONDS = float(os.environ.get("TORPOR_REST_SECONDS", "60"))
SETTLE_SECONDS = 20.0
PATIENCE_SECONDS = 300
AT_ONCE = 32
ROLES = ("controller", "gateway", "engine", "events")
KUBERNETES = ("kube-apiserver", "etcd", "kube-controller-manager")


@dataclass(frozen=True, slots=True)
class Cost:
    """Resident memory, and CPU over a time in which nothing was asked."""

    mebibytes: float
    millicores: float


@dataclass(frozen=True, slots=True)
class Step:
    """So many Functions at zero: how long the new ones took, and what all cost at rest.

    `cpu_seconds` is what making the new ones took, by role.
    """

    functions: int
    seconds: float
    cpu_seconds: Mapping[str, float]
    costs: Mapping[str, Cost]

    @property
    def all_roles(self) -> Cost:
        """The sum over Torpor's roles."""
        own = [cost for name, cost in self.costs.items() if name in ROLES]
        return Cost(sum(cost.mebibytes for cost in own), sum(cost.millicores for cost in own))


async def main() -> int:
    """Run all steps and print the figures; 1 if there is no cluster to run on."""
    missing = what_is_missing()
    if missing:
        print(missing, file=sys.stderr)
        return 1
    async with Api(str(kubeconfig())) as api:
        lab = Lab(api, f"torpor-bench-{secrets.token_hex(3)}")
        name = {"name": lab.namespace}
        await api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": name})
        try:
            await measure(lab)
        finally:
            await api.delete(NAMESPACES.path("", lab.namespace))
    return 0


async def measure(lab: Lab) -> None:
    """Make the Functions, wait, wake them; print what is found."""
    node = await audited_node(lab)
    steps: list[Step] = []
    for count in STEPS:
        before = steps[-1].functions if steps else 0
        first = await used(lab, node)
        took = await make(lab, before, count)
        await asyncio.sleep(SETTLE_SECONDS)
        last = await used(lab, node)
        spent = {role: (last[role][1] - first[role][1]) / 1e9 for role in last}
        steps.append(Step(count, took, spent, await at_rest(lab, node)))
        tell(steps[-1])
    writes = await written(lab, node)
    host = await lab.host("fn-0")
    cold = [await cold_start(lab, host) for _ in range(WAKES)]
    print(f"one of {FUNCTIONS_COUNT} woken {WAKES} times: {told(cold)}", flush=True)
    await lab.zero("fn-0")
    count = min(BURST, await free_places(lab))
    burst = await woken_at_once(lab, host, count)
    print(f"{count} of them woken at once: {told(burst)}")
    await tell_phases(lab, count)
    await all_gone(lab)
    plain = await plain_burst(lab, count, PATIENCE_SECONDS)
    half, most = percentile(plain, 0.5), percentile(plain, 0.95)
    print(f"{count} plain Deployments scaled at once: p50 {half:.2f} s, p95 {most:.2f} s")
    print(last_line(steps, writes, cold, burst, plain))


async def make(lab: Lab, start: int, end: int) -> float:
    """Make Functions `start` to `end`; return the seconds until all are Ready at zero."""
    began = time.monotonic()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            limits = {"startupTimeoutSeconds": PATIENCE_SECONDS}
            hold = {"maxSeconds": PATIENCE_SECONDS}
            spec = {**limits, "hold": hold, "scaling": dict(SCALING_QUICK)}
            await lab.api.apply(lab.function(f"fn-{number}", **spec))

    async with asyncio.TaskGroup() as tasks:
        for number in range(start, end):
            tasks.create_task(one(number), name=f"make {number}")
    applied = time.monotonic() - began
    print(f"{end - start} applied after {applied:.1f} s, {AT_ONCE} at a time", flush=True)
    await until(f"{end} Functions Ready", lambda: ready(lab, end), PATIENCE_SECONDS, every=1)
    return time.monotonic() - began


async def ready(lab: Lab, count: int) -> bool | None:
    """Return True once so many Functions are Ready and none is Active."""
    found = await lab.api.items(FUNCTIONS, lab.namespace)
    good = [
        obj
        for obj in found
        if condition(obj, "Ready").get("status") == "True"
        and condition(obj, "Active").get("status") == "False"
    ]
    return True if len(good) >= count else None


async def at_rest(lab: Lab, node: str) -> dict[str, Cost]:
    """Return what each role, and the API server, cost over the time of rest."""
    first, began = await used(lab, node), time.monotonic()
    await asyncio.sleep(REST_SECONDS)
    last, passed = await used(lab, node), time.monotonic() - began
    return {
        role: Cost(memory / 2**20, (cpu - first[role][1]) / passed / 1e6)
        for role, (memory, cpu) in last.items()
    }


async def used(lab: Lab, node: str) -> dict[str, tuple[int, int]]:
    """Return resident bytes and CPU nanoseconds by role, summed over its pods."""
    summary = await lab.api.get(
        f"/api/v1/nodes/{node}/proxy/stats/summary?only_cpu_and_memory=true"
    )
    found = dict.fromkeys((*ROLES, *KUBERNETES), (0, 0))
    for pod in summary["pods"]:
        name, namespace = pod["podRef"]["name"], pod["podRef"]["namespace"]
        for role in found:
            prefix = f"{role}-" if role in KUBERNETES else f"torpor-{role}-"
            if name.startswith(prefix) and namespace in (SYSTEM, "kube-system"):
                memory, cpu = found[role]
                memory += pod["memory"]["rssBytes"]
                found[role] = (memory, cpu + pod["cpu"]["usageCoreNanoSeconds"])
    return found


async def written(lab: Lab, node: str) -> Counter[str]:
    """Return what Torpor wrote in the quiet time, renewals of Leases aside."""
    accounts = {await account(lab, f"torpor-{role}") for role in ("controller", "gateway")}
    start = size(node)
    await asyncio.sleep(QUIET_SECONDS)
    text = await asyncio.to_thread(read, node, start)
    seen = events(text, quiet=lab.namespace)
    writes = Counter(what for who, what in seen if who in accounts and "leases" not in what)
    print(f"writes in {QUIET_SECONDS:.0f} quiet s: {dict(writes) or 'none'}", flush=True)
    return writes


async def cold_start(lab: Lab, host: str) -> Answer:
    """Wake a function that has no pod, and return its answer."""
    await lab.zero("fn-0")
    return await send(host)


async def woken_at_once(lab: Lab, host: str, count: int) -> list[Answer]:
    """Send one request to each of many sleeping functions at the same moment."""
    hosts = [host.replace("fn-0.", f"fn-{number}.", 1) for number in range(count)]
    sent = (send(each, deadline_seconds=PATIENCE_SECONDS) for each in hosts)
    return list(await asyncio.gather(*sent))


async def tell_phases(lab: Lab, count: int) -> None:
    """Print where the time of the wakes went; `decide` and `release` are Torpor's, by and large."""
    await asyncio.sleep(SETTLE_SECONDS)
    statuses = [cold_starts(await lab.get(f"fn-{number}")) for number in range(count)]
    for phase in PHASES:
        spent = [each["last"][phase] / 1000 for each in statuses if phase in each.get("last", {})]
        if spent:
            half, most = percentile(spent, 0.5), percentile(spent, 0.95)
            print(f"  {phase:<10} p50 {half:>7.2f} s, p95 {most:>7.2f} s, of {len(spent)}")


async def all_gone(lab: Lab) -> None:
    """Wait until no pod of any Function is left."""

    async def gone() -> bool | None:
        return None if await lab.api.items(PODS, lab.namespace) else True

    await until("no pod left", gone, PATIENCE_SECONDS, every=1)


def told(answers: list[Answer]) -> str:
    """Return what came of the requests, in words."""
    statuses = Counter(answer.status for answer in answers)
    return f"{dict(statuses)}, p50 {at(answers, 0.5):.2f} s, p95 {at(answers, 0.95):.2f} s"


def at(answers: list[Answer], share: float) -> float:
    """Return a percentile of the seconds to the first byte."""
    return percentile([answer.first_byte_seconds for answer in answers], share)


def tell(step: Step) -> None:
    """Print what a step came to."""
    print(f"{step.functions} Functions at zero; the new ones Ready after {step.seconds:.1f} s")
    for role, cost in step.costs.items():
        shown = f"{cost.mebibytes:>8.1f} MiB{cost.millicores:>8.1f} millicores"
        print(f"  {role:<24}{shown}, after{step.cpu_seconds[role]:>7.1f} s CPU")
    both = step.all_roles
    print(f"  {'all roles':<24}{both.mebibytes:>8.1f} MiB{both.millicores:>8.1f} millicores")
    sys.stdout.flush()


def last_line(
    steps: list[Step],
    writes: Counter[str],
    cold: list[Answer],
    burst: list[Answer],
    plain: list[float],
) -> str:
    """Return the figures that programs read; memory and CPU are those of one Function at zero."""
    none, many = steps[0].all_roles, steps[-1].all_roles
    mebibytes = (many.mebibytes - none.mebibytes) / FUNCTIONS_COUNT
    millicores = (many.millicores - none.millicores) / FUNCTIONS_COUNT
    ratio = at(burst, 0.95) / percentile(plain, 0.95)
    failed = sum(answer.status != 200 for answer in (*cold, *burst))
    return (
        f"scale functions={FUNCTIONS_COUNT} reconcile_s={sum(s.seconds for s in steps):.1f} "
        f"writes={writes.total()} mib_each={mebibytes:.4f} millicores_each={millicores:.4f} "
        f"burst_{len(burst)}_p95_s={at(burst, 0.95):.2f} "
        f"plain_{len(plain)}_p95_s={percentile(plain, 0.95):.2f} ratio={ratio:.2f} "
        f"cold_p50_s={at(cold, 0.5):.2f} failed={failed}"
    )


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
