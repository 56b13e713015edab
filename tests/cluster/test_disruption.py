"""Torpor's own pods may die, and functions be replaced, while requests go on."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.cluster.api import Json, condition, until
from tests.cluster.harness import SCALING_QUICK, SYSTEM, Lab, command
from tests.cluster.traffic import busy, send, steady
from tests.cluster.watching import watched
from torpor.platform.kubernetes.resources import LEASES, PODS

pytestmark = pytest.mark.timeout(240)

TAKE_OVER_SECONDS = {"pod deleted": 20, "process killed": 20, "process frozen": 25}
"""From the loss to a scale-out that serves. A frozen leader's Lease of 15 s must run out first."""
FROZEN_SECONDS = 22
"""Longer than the Lease, shorter than the liveness probe's patience: it wakes up deposed."""
WATCHED_SECONDS = 30
LONG = "/sleep?ms=2000"
"""So long that six clients have about six requests there at any time, however slow they are."""


@pytest.mark.parametrize("how", ["pod deleted", "process killed", "process frozen"])
async def test_leader_lost_scaling_goes_on_and_nothing_shrinks(lab: Lab, how: str) -> None:
    two_each = {**SCALING_QUICK, "maxReplicas": 3, "concurrency": {"target": 2, "limit": 10}}
    held = await lab.make("held", scaling=two_each)
    grows = await lab.make("grows", scaling={**two_each, "idleSeconds": 120})
    asleep = await lab.make("asleep", scaling=dict(SCALING_QUICK))
    async with busy(held, 6, LONG) as steady_load:
        await lab.replicas("held", least=3, within=60)
        await lab.zero("asleep")
        before = await send(grows)
        async with watched(lab, "held") as lowest:
            leader = await role_pod_named(lab, await leader_name(lab))
            await LOSE[how](lab, leader)
            killed = time.monotonic()
            cold = await send(asleep)
            async with busy(grows, 6, LONG) as growing:
                await lab.replicas("grows", least=2, within=60)
                took = time.monotonic() - killed
            await asyncio.sleep(max(0.0, killed + WATCHED_SECONDS - time.monotonic()))
        new = await leader_name(lab)
    old = leader["metadata"]["name"]
    print(f"{old}: {how}, now {new}; scaled out {took:.1f} s later; lowest {min(lowest)} of 3")
    print(f"cold before: {before}\ncold right after: {cold}")
    print(f"held: {steady_load}\ngrowing: {growing}")
    steady_load.all_200()
    growing.all_200()
    assert cold.status == 200, cold
    assert cold.seconds < 10, f"a cold request had to wait for the new leader: {cold}"
    assert took < TAKE_OVER_SECONDS[how]
    assert min(lowest) >= 3, f"replicas fell to {min(lowest)} without a reason"


async def test_gateway_pod_deleted_loses_nothing(lab: Lab) -> None:
    host = await lab.make("warm", scaling={"minReplicas": 1})
    gateways = await role_pods(lab, "gateway")
    if len(gateways) < 2:
        pytest.skip("one gateway replica only: its deletion must be felt")
    async with steady(host, per_second=50) as tally:
        await asyncio.sleep(2)
        await lab.api.delete(PODS.path(SYSTEM, gateways[0]["metadata"]["name"]))
        await until("as many gateways ready again", lambda: ready_again(lab, gateways), within=90)
        await asyncio.sleep(10)
    print(f"gateway {gateways[0]['metadata']['name']} deleted under 50 rps: {tally}")
    tally.all_200()


async def test_pod_killed_under_load_loses_no_get(lab: Lab) -> None:
    host = await lab.make("killed", scaling={"minReplicas": 2, "maxReplicas": 2})
    seen = await lab.replicas("killed", least=2, within=60)
    async with steady(host, per_second=50) as tally:
        await asyncio.sleep(2)
        pod = seen.running[0]["metadata"]["name"]
        await lab.api.delete(PODS.path(lab.namespace, pod), grace_seconds=0)
        await asyncio.sleep(8)
    print(f"{pod} killed under 50 rps of GET: {tally}")
    tally.all_200()


async def delete_now(lab: Lab, pod: Json) -> None:
    """Delete a pod without grace: its process is told to end and killed right after."""
    await lab.api.delete(PODS.path(SYSTEM, pod["metadata"]["name"]), grace_seconds=0)


async def kill_process(lab: Lab, pod: Json) -> None:
    """Kill the pod's process from its node, so that it cannot even release its Lease."""
    await in_node(pod, 'kill -9 "$1"')


async def freeze_process(lab: Lab, pod: Json) -> None:
    """Stop the pod's process for longer than its Lease; then it goes on where it stood."""
    thaw = f'sleep {FROZEN_SECONDS}; kill -CONT "$1"'
    await in_node(pod, f'kill -STOP "$1"; ({thaw}) >/dev/null 2>&1 &')


async def in_node(pod: Json, what: str) -> None:
    """Run a shell line on the pod's node with the pid of its `torpor` process as $1."""
    node, uid = str(pod["spec"]["nodeName"]), str(pod["metadata"]["uid"])
    words = ("docker", "exec", node, "sh", "-c", FIND_IN_POD, "sh", uid, uid.replace("-", "_"))
    found = await asyncio.to_thread(command, *words)
    if found.returncode != 0:
        pytest.skip(f"{node} is no container of this machine: {found.stderr.strip()}")
    assert found.stdout.strip(), f"no process of {pod['metadata']['name']} was found"
    pid = found.stdout.split()[0]
    done = await asyncio.to_thread(command, "docker", "exec", node, "sh", "-c", what, "sh", pid)
    assert done.returncode == 0, done.stderr


FIND_IN_POD = """
for process in /proc/[0-9]*; do
  grep -q -e "$1" -e "$2" "$process/cgroup" 2>/dev/null || continue
  grep -q torpor "$process/cmdline" 2>/dev/null && echo "${process#/proc/}"
done
true
"""
"""Prints the processes that run `torpor` in the pod of a UID, which names the pod's cgroup."""

LOSE = {
    "pod deleted": delete_now,
    "process killed": kill_process,
    "process frozen": freeze_process,
}


async def role_pod_named(lab: Lab, name: str) -> Json:
    """Return one of Torpor's own pods."""
    return await lab.api.get(PODS.path(SYSTEM, name))


async def leader_name(lab: Lab) -> str:
    """Return the pod that holds the controller's Lease."""
    controllers = [pod["metadata"]["name"] for pod in await role_pods(lab, "controller")]
    leases = await lab.api.items(LEASES, SYSTEM)
    holders = [str(lease["spec"].get("holderIdentity", "")) for lease in leases]
    found = [pod for pod in controllers for holder in holders if holder.startswith(pod)]
    return found[0] if found else f"nobody of {controllers}: {holders}"


async def role_pods(lab: Lab, role: str) -> list[Json]:
    """Return the pods of one of Torpor's roles that stay."""
    labels = "app.kubernetes.io/name=torpor"
    pods = await lab.api.items(PODS, SYSTEM, labels)
    return [
        pod
        for pod in pods
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == role
        and "deletionTimestamp" not in pod["metadata"]
    ]


async def ready_again(lab: Lab, before: list[Json]) -> bool | None:
    """Return True once as many gateways as before are Ready."""
    pods = await role_pods(lab, "gateway")
    ready = [pod for pod in pods if condition(pod, "Ready").get("status") == "True"]
    return True if len(ready) >= len(before) else None
