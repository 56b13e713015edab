"""Functions that cannot start say why, within their start-up limit, and disturb nobody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.cluster.api import condition, until
from tests.cluster.harness import SCALING_QUICK, Lab
from tests.cluster.traffic import Answer, send, steady

STARTUP_SECONDS = 30
SLACK_SECONDS = 5

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "crashing": ({"env": [{"name": "CRASH", "value": "1"}]}, "CrashLoopBackOff"),
    "unschedulable": ({"resources": {"requests": {"cpu": "1000"}}}, "Unschedulable"),
    "silent": ({"env": [{"name": "NEVER_LISTEN", "value": "1"}]}, "not ready within"),
    "no-account": ({"serviceAccountName": "missing"}, "FailedCreate"),
    "no-volume": (
        {"volumes": [{"name": "v", "mountPath": "/v", "configMap": {"name": "missing"}}]},
        "has not started its container",
    ),
    "no-image": ({"image": "torpor-test/no-such-image:dev"}, "Image"),
    "refused": (
        {"resources": {"requests": {"memory": "128Mi"}, "limits": {"memory": "64Mi"}}},
        "Refused",
    ),
    "no-code": (
        {"runtime": "python3", "handler": "main.handler", "code": {"configMap": "missing"}},
        "ConfigMap",
    ),
}
"""What is wrong, and what the answer must contain to tell a person so."""


@pytest.mark.timeout(240)
async def test_broken_functions_answer_503_with_the_reason_and_others_go_on(lab: Lab) -> None:
    healthy = await lab.make("healthy", scaling={"minReplicas": 1})
    for name, (spec, _) in BROKEN.items():
        limits = {"startupTimeoutSeconds": STARTUP_SECONDS, "scaling": dict(SCALING_QUICK)}
        await lab.api.apply(lab.function(name, **limits, **spec))
    await until("all known to the gateways", lambda: known(lab), within=30)
    async with steady(healthy, per_second=10) as beside, asyncio.TaskGroup() as tasks:
        sent = {
            name: tasks.create_task(send(address(lab, healthy, name)), name=name) for name in BROKEN
        }
    problems = []
    for name, (_, reason) in BROKEN.items():
        answer = sent[name].result()
        print(f"{name}: sent 1, {answer}")
        problems += wrong(name, answer, reason)
    print(f"healthy beside: {beside}")
    beside.all_200()
    assert not problems, "\n".join(problems)


@pytest.mark.timeout(180)
async def test_the_condition_says_the_same_and_a_mended_function_serves(lab: Lab) -> None:
    crash = [{"name": "CRASH", "value": "1"}]
    host = await lab.make("mended", env=crash, scaling={**SCALING_QUICK, "idleSeconds": 20})
    first = await send(host)
    assert first.status == 503, first

    async def not_ready() -> bool | None:
        ready = condition(await lab.get("mended"), "Ready")
        said = (ready.get("status"), ready.get("reason"))
        return True if said == ("False", "CrashLoopBackOff") else None

    await until("Ready: False, CrashLoopBackOff", not_ready, within=20)
    print(f"{first}\ncondition Ready: False, CrashLoopBackOff")
    assert "CrashLoopBackOff" in first.body.decode(), first
    await lab.api.apply(lab.function("mended", env=[], scaling=dict(SCALING_QUICK)))

    async def serves() -> Answer | None:
        answer = await send(host)
        return answer if answer.status == 200 else None

    print("mended:", await until("the mended function serves", serves, within=90, every=1))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("silent", "NotReady"),
        ("no-account", "FailedCreate"),
        ("no-volume", "NotStarted"),
        ("refused", "Refused"),
    ],
)
async def test_what_no_pod_complains_of_is_in_the_condition(
    lab: Lab, name: str, reason: str
) -> None:
    scaling = {**SCALING_QUICK, "minReplicas": 1}
    spec = {**BROKEN[name][0], "startupTimeoutSeconds": STARTUP_SECONDS, "scaling": scaling}
    await lab.api.apply(lab.function(name, **spec))

    async def told() -> bool | None:
        ready = condition(await lab.get(name), "Ready")
        return True if (ready.get("status"), ready.get("reason")) == ("False", reason) else None

    await until(f"Ready: False, {reason}", told, within=STARTUP_SECONDS + 2 * SLACK_SECONDS)


async def known(lab: Lab) -> bool | None:
    """Return True once every Function has a status, so that its route has been told too."""
    objects = [await lab.get(name) for name in BROKEN]
    return True if all(obj.get("status", {}).get("url") for obj in objects) else None


def address(lab: Lab, sample: str, name: str) -> str:
    """Return the Host of a function that may never be Ready, made like the healthy one's."""
    return sample.replace(f"healthy.{lab.namespace}", f"{name}.{lab.namespace}", 1)


def wrong(name: str, answer: Answer, reason: str) -> list[str]:
    """Return what is wrong with the answer of a broken function."""
    problems = []
    if answer.status != 503:
        problems.append(f"{name}: expected 503, got {answer}")
    elif reason not in json.loads(answer.body)["detail"]:
        problems.append(f"{name}: {reason!r} is not in the answer: {answer}")
    if answer.seconds > STARTUP_SECONDS + SLACK_SECONDS:
        problems.append(f"{name}: answered only after {answer.seconds:.1f} s")
    return problems
