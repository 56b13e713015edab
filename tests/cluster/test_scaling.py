"""Replicas follow load, out and in and to zero, and what a person sees and does by kubectl."""

from __future__ import annotations

import pytest

from tests.cluster.api import Refused, until
from tests.cluster.harness import SCALING_QUICK, Lab
from tests.cluster.traffic import busy, send
from torpor.platform.kubernetes.resources import FUNCTIONS

pytestmark = pytest.mark.timeout(240)


async def test_load_scales_out_and_in_again_and_to_zero(lab: Lab) -> None:
    host = await lab.make(
        "load",
        scaling={**SCALING_QUICK, "maxReplicas": 4, "concurrency": {"target": 2, "limit": 10}},
    )
    async with busy(host, clients=8, path="/sleep?ms=200") as much:
        out = await lab.replicas("load", least=4, within=60)
    print(f"8 at once: {much}; replicas {out.replicas}")
    much.all_200()

    async def one_again() -> bool | None:
        seen = await lab.seen("load")
        return True if seen.replicas == 1 and len(seen.running) == 1 else None

    async with busy(host, clients=1, path="/sleep?ms=200") as little:
        await until("one replica for one client", one_again, within=90)
    print(f"1 at once: {little}; replicas 1")
    little.all_200()
    await lab.zero("load")


async def test_back_to_zero_leaves_no_pod_and_few_objects(lab: Lab) -> None:
    host = await lab.make("quiet", scaling={**SCALING_QUICK, "idleSeconds": 3})
    assert (await send(host)).status == 200
    assert (await lab.seen("quiet")).replicas == 1
    await lab.zero("quiet")
    kinds = "functions,deployments,replicasets,services,networkpolicies,endpointslices,configmaps"
    listed = (await lab.kubectl("get", kinds, "-o", "name")).split()
    objects = [name for name in listed if not name.startswith("configmap/kube-root-ca")]
    print(f"objects of one function at zero: {len(objects)}: {', '.join(objects)}")
    assert len(objects) <= 5


async def test_kubectl_scale_sets_the_floor(lab: Lab) -> None:
    await lab.make("floor", scaling=dict(SCALING_QUICK))
    await lab.zero("floor")
    await lab.kubectl("scale", "fn", "floor", "--replicas=2")
    await lab.replicas("floor", least=2, within=60)
    await lab.kubectl("scale", "fn", "floor", "--replicas=0")
    await lab.zero("floor")


async def test_kubectl_get_shows_the_state(lab: Lab) -> None:
    host = await lab.make("shown", scaling={**SCALING_QUICK, "idleSeconds": 30})
    await lab.zero("shown")
    asleep = await row(lab)
    assert asleep == {"NAME": "shown", "READY": "True", "ACTIVE": "False", "REPLICAS": "0"}
    assert (await send(host)).status == 200

    async def awake() -> bool | None:
        return True if (await row(lab)).get("ACTIVE") == "True" else None

    await until("ACTIVE in kubectl get fn", awake, within=15)

    async def counted() -> bool | None:
        return True if (await row(lab)).get("REPLICAS") == "1" else None

    await until("REPLICAS in kubectl get fn", counted, within=15)


async def test_deleting_a_function_deletes_its_children(lab: Lab) -> None:
    host = await lab.make("gone", scaling=dict(SCALING_QUICK))
    assert (await send(host)).status == 200
    await lab.api.delete(FUNCTIONS.path(lab.namespace, "gone"))

    async def nothing_left() -> bool | None:
        kinds = "deployments,replicasets,services,networkpolicies,pods"
        return None if (await lab.kubectl("get", kinds, "-o", "name")).split() else True

    await until("children gone", nothing_left, within=60, every=1)
    answer = await send(host)
    assert answer.status == 404, answer


async def test_wrong_function_is_refused_with_what_to_write(lab: Lab) -> None:
    wrong = lab.function("wrong", runtime="python3", handler="main.handler")
    with pytest.raises(Refused, match=r"code\.configMap") as refused:
        await lab.api.apply(wrong)
    assert refused.value.status == 422


async def row(lab: Lab) -> dict[str, str]:
    """Return `kubectl get fn` as a person reads it, the columns that change by themselves."""
    header, *lines = (await lab.kubectl("get", "fn")).splitlines()
    assert header.split() == ["NAME", "READY", "ACTIVE", "REPLICAS", "URL", "AGE"], header
    print(header, *lines, sep="\n")
    cells = dict(zip(header.split(), lines[0].split(), strict=False))
    return {name: cells[name] for name in ("NAME", "READY", "ACTIVE", "REPLICAS")}
