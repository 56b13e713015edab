"""New versions of a function, of the gateway and of the controller come in under full load.

TORPOR_TEST_RPS says how many requests a second that is; every one is sent once, over a connection
of its own.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from tests.cluster.api import Json, until
from tests.cluster.harness import SCALING_QUICK, SYSTEM, Lab, kubectl
from tests.cluster.test_disruption import role_pods
from tests.cluster.traffic import Answer, send, steady

pytestmark = pytest.mark.timeout(300)

RPS = float(os.environ.get("TORPOR_TEST_RPS", "500"))
SCALING = {"minReplicas": 2, "maxReplicas": 4}
BEFORE_SECONDS, AFTER_SECONDS = 2.0, 3.0


async def test_rolling_update_of_a_function_loses_nothing(lab: Lab) -> None:
    versions = [[{"name": "VERSION", "value": value}] for value in ("one", "two")]
    host = await lab.make("rolled", env=versions[0], scaling=SCALING)
    await lab.replicas("rolled", least=2, within=60)
    async with steady(host, RPS) as tally:
        await asyncio.sleep(BEFORE_SECONDS)
        await lab.api.apply(lab.function("rolled", env=versions[1], scaling=SCALING))
        await until("only pods of the new version", lambda: only_new(lab), within=120)
        await asyncio.sleep(AFTER_SECONDS)
    print(f"rolling update of the function under {RPS:g} rps: {tally}")
    tally.all_200()
    seen = [answer.headers["x-version"] for answer in tally.answers]
    assert (seen[0], seen[-1]) == ("one", "two")


@pytest.mark.parametrize("role", ["gateway", "controller"])
async def test_rolling_update_of_torpor_itself_loses_nothing(lab: Lab, role: str) -> None:
    host = await lab.make("warm", scaling=SCALING)
    asleep = await lab.make("asleep", scaling=dict(SCALING_QUICK))
    await lab.replicas("warm", least=2, within=60)
    await lab.zero("asleep")
    before = {pod["metadata"]["uid"] for pod in await role_pods(lab, role)}
    if role == "gateway" and len(before) < 2:
        pytest.skip("one gateway replica only: its end must be felt")
    async with steady(host, RPS) as tally:
        await asyncio.sleep(BEFORE_SECONDS)
        woken = await asyncio.gather(restarted(role), send(asleep))
        await asyncio.sleep(AFTER_SECONDS)
    cold: Answer = woken[1]
    after = {pod["metadata"]["uid"] for pod in await role_pods(lab, role)}
    print(f"rolling update of the {role} under {RPS:g} rps: {tally}\nwoken meanwhile: {cold}")
    assert not before & after, "a pod of before is still there"
    tally.all_200()
    assert cold.status == 200, cold


async def restarted(role: str) -> None:
    """Replace all pods of a role, as `helm upgrade` does, and wait until the new ones are ready."""
    name = f"deployment/torpor-{role}"
    await asyncio.to_thread(kubectl, "-n", SYSTEM, "rollout", "restart", name)
    status = ("rollout", "status", name, "--timeout=150s")
    await asyncio.to_thread(kubectl, "-n", SYSTEM, *status, timeout=160)


async def only_new(lab: Lab) -> bool | None:
    """Return True once no pod of the old version is left, not even one that ends."""
    seen = await lab.seen("rolled")
    old = [pod for pod in seen.pods if version(pod) != "two"]
    return True if not old and seen.ready >= 2 else None


def version(pod: Json) -> str:
    """Return the VERSION that a pod's function container was given."""
    containers = {item["name"]: item for item in pod["spec"]["containers"]}
    env = {item["name"]: item.get("value", "") for item in containers["function"].get("env", ())}
    return str(env.get("VERSION", ""))
