"""A Job Function's children and status: it has an address and no instances."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.functions.builders import IMAGE, INLINE, KEY, function, function_object
from tests.unit.functions.small_cluster import SmallCluster
from torpor.functions.fleet import Fleet
from torpor.functions.status import RunCounts, Seen
from torpor.platform.base import FunctionChanged
from torpor.resources.names import LABEL_RUN_OF

JOB: dict[str, Any] = {**IMAGE, "workload": "Job"}


async def test_it_has_an_address_and_a_policy_and_nothing_to_scale() -> None:
    cluster = SmallCluster()
    cluster.put(function_object(JOB))
    await cluster.reconciler().reconcile(KEY)
    assert cluster.writes == [
        ("NetworkPolicy", "controller"),
        ("Service", "controller"),
        ("Function", "status"),
    ]
    assert cluster.ready() == ("True", "TakesRuns")
    policy = cluster.objects["NetworkPolicy", KEY.name]["spec"]
    assert policy["podSelector"]["matchLabels"] == {LABEL_RUN_OF: KEY.name}
    [allowed] = policy["ingress"]
    component = allowed["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
    assert (component, allowed["ports"][0]["port"]) == ("controller", 9465)
    cluster.show()
    await cluster.reconciler().reconcile(KEY)
    assert len(cluster.writes) == 3, "nothing changed"


async def test_its_status_counts_its_runs() -> None:
    cluster = SmallCluster(seen=Seen(runs=RunCounts(2, 5, 1, "thumbnail-9f")))
    cluster.put(function_object(JOB))
    await cluster.reconciler().reconcile(KEY)
    told = cluster.status()
    assert told["runs"] == {"active": 2, "succeeded": 5, "failed": 1, "last": "thumbnail-9f"}
    conditions = {item["type"]: item["status"] for item in told["conditions"]}
    assert conditions == {
        "Ready": "True",
        "Active": "True",
        "Reconciling": "False",
        "Stalled": "False",
    }
    assert "replicas" not in told


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({**INLINE, "runtime": "ruby"}, "UnknownRuntime"),
        ({**INLINE, "code": {"configMap": "gone"}}, "ConfigMapMissing"),
    ],
)
async def test_what_no_run_could_be_started_with_is_told(spec: Any, reason: str) -> None:
    cluster = SmallCluster()
    cluster.put(function_object({**spec, "workload": "Job"}))
    await cluster.reconciler().reconcile(KEY)
    assert cluster.ready() == ("False", reason)


def test_nobody_scales_it() -> None:
    fleet = Fleet()
    fleet.take(FunctionChanged(KEY, function(JOB)))
    assert fleet.get(KEY) is None
    fleet.take(FunctionChanged(KEY, function(IMAGE)))
    assert fleet.get(KEY) is not None
