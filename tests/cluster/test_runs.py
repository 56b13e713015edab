"""Runs on the cluster: one Job for each call, and what becomes of it whatever happens around it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.cluster import test_triggers as triggers
from tests.cluster import test_workflows as workflows
from tests.cluster.api import Json, condition, until
from tests.cluster.harness import SYSTEM, Lab
from tests.cluster.runs import PROGRAM, PYTHON, STORE, Runs, bucket, is_half_way
from tests.cluster.test_cli import printed
from tests.cluster.test_disruption import role_pods
from tests.support.servers.versitygw import needs_versitygw
from torpor.functions.placement import GPU_PRODUCT
from torpor.platform.kubernetes.resources import CONFIG_MAPS, FUNCTIONS, NAMESPACES, NODES, PODS
from torpor.resources.instance import GPU_RESOURCE
from torpor.resources.names import LABEL_COMPONENT, LABEL_RUN

pytestmark = pytest.mark.timeout(240)

AT_ONCE = 20
LIMITED = {"limits": {"memory": "160Mi"}}


async def test_calls_with_one_key_are_one_run_which_is_followed_to_its_result(lab: Lab) -> None:
    async with Runs.of(lab) as runs:
        await runs.function("report")
        asked = [runs.start("report", {"say": "hello"}, key="january") for _ in range(AT_ONCE)]
        [run] = set(await asyncio.gather(*asked))
        told = await runs.get(run, wait_seconds=30)
        assert (told["state"], told["result"]["said"]) == ("Succeeded", "hello"), told
        assert [job["metadata"]["name"] for job in await runs.jobs("report")] == [run]
        assert len(await runs.pods(run)) == 1
        other = await runs.start("report", {"how": "bad"}, key="february")
        assert other != run
        failed = await runs.ended(other)
    assert (failed["reason"], failed["message"]) == ("BadInput", "the input has no month")
    place = ("-n", lab.namespace)
    listed = await printed("run", "list", "--all", *place, "-o", "name")
    assert {line.partition("/")[2] for line in listed.split()} == {run, other}
    assert "the run is to be quick" in await printed("run", "logs", run, *place)
    shown = await printed("run", "show", run, *place)
    assert "Succeeded" in shown


@needs_versitygw
async def test_a_run_is_left_alone_until_it_is_cancelled(lab: Lab) -> None:
    async with bucket() as store, Runs.of(lab) as runs:
        await runs.function("long", store, job={"checkpoint": STORE})
        run = await runs.start("long", {"how": "waiting"})
        pod, before = await runs.half_way(run, store), await runs.job(run)
        await runs.function("long", store, job={"checkpoint": STORE, "timeoutSeconds": 60})
        await lab.api.delete(FUNCTIONS.path(lab.namespace, "long"))
        old = await role_pods(lab, "controller")
        for controller in old:
            await lab.api.delete(PODS.path(SYSTEM, controller["metadata"]["name"]))
        await until("other controllers", lambda: replaced(lab, old), within=90)
        told = await runs.shown(run, "told of by the new leader", is_half_way)
        after, [now] = await runs.job(run), await runs.pods(run)
        assert (told["state"], told["reason"]) == ("Running", "")
        assert after["spec"] == before["spec"]
        assert (now["metadata"]["uid"], now["status"]["phase"]) == (
            pod["metadata"]["uid"],
            "Running",
        )
        await runs.cancel(run)
        told = await runs.ended(run)
        assert (told["state"], told["result"]) == ("Cancelled", None)
        assert not [pod for pod in await runs.pods(run) if pod["status"]["phase"] == "Running"]


@needs_versitygw
async def test_a_namespace_with_a_run_that_was_stopped_can_be_deleted(lab: Lab) -> None:
    other = Lab(lab.api, f"{lab.namespace}-other")
    place = NAMESPACES.path("", other.namespace)
    meta = {"name": other.namespace}
    await lab.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    async with bucket() as store, Runs.of(other) as runs:
        await runs.function("long", store, job={"checkpoint": STORE})
        await runs.half_way(await runs.start("long", {"how": "waiting"}), store)
        await lab.api.delete(place)

        async def gone() -> bool | None:
            return True if await lab.api.find(place) is None else None

        await until("no such namespace", gone, within=90)


@needs_versitygw
async def test_how_a_pod_ends_decides_whether_an_attempt_is_used(lab: Lab) -> None:
    async with bucket() as store, Runs.of(lab) as runs:
        once = {"retries": {"perIndex": 0}, "checkpoint": STORE}
        await runs.function("once", store, job=once, resources=LIMITED)
        await runs.function("twice", job={"retries": {"perIndex": 1}})
        evicted = await runs.start("once", {"how": "stubborn"})
        stopped = await runs.start("once", {"how": "waiting"})
        hungry = await runs.start("once", {"how": "hungry"})
        crashing = await runs.start("twice", {"how": "crashing", "say": "at last"})
        bad = await runs.start("twice", {"how": "bad"})
        await runs.evict(await runs.half_way(evicted, store))
        await runs.delete(await runs.half_way(stopped, store))
        ends = {run: await runs.ended(run) for run in (bad, hungry, evicted, stopped, crashing)}
        pods = {run: await runs.pods(run) for run in ends}
    for run, told in ends.items():
        print(run, told["state"], told["reason"], told["message"], "attempt", told["attempt"])
    assert [ends[run]["result"] for run in (evicted, stopped)] == [{"resumed": True}] * 2
    assert [ends[run]["attempt"] for run in (evicted, stopped)] == [1, 1]
    assert ends[crashing]["result"] == {"said": "at last", "failures": "1"}
    assert ends[crashing]["attempt"] == 2
    assert (ends[bad]["reason"], len(pods[bad])) == ("BadInput", 1)
    assert (ends[hungry]["reason"], len(pods[hungry])) == ("OutOfMemory", 1)


async def test_a_run_keeps_its_code_whatever_becomes_of_the_config_map(lab: Lab) -> None:
    await lab.config_map("report-code", {"main.py": PROGRAM})
    code = {"code": {"configMap": "report-code"}}
    async with Runs.of(lab) as runs:
        await lab.make("report", workload="Job", **{**PYTHON, **code})
        run = await runs.start("report", {"how": "crashing", "say": "the same"})
        await lab.api.delete(CONFIG_MAPS.path(lab.namespace, "report-code"))
        told = await runs.ended(run)
        assert (told["attempt"], told["result"]["said"]) == (2, "the same")
        copies = await lab.api.items(CONFIG_MAPS, lab.namespace, f"{LABEL_RUN}={run}")
        assert [copy["immutable"] for copy in copies] == [True]


async def test_a_gpu_is_waited_for_and_chosen_or_done_without(lab: Lab) -> None:
    async with Runs.of(lab) as runs:
        liked = ["NVIDIA-L4", "NVIDIA-T4"]
        await runs.function("encode", job={"gpu": {"products": liked}})
        await runs.function("either", job={"gpu": {"products": liked, "fallback": "cpu"}})
        await runs.function("t4", job={"gpu": {"products": ["NVIDIA-T4"], "fallback": "cpu"}})
        without = await runs.start("either", {"say": "cpu"})
        waiting = await runs.start("encode", {"say": "gpu"})
        told = await runs.shown(waiting, "unschedulable", is_unschedulable)
        print("pending:", told["message"])
        assert told["state"] == "Pending"
        told = await runs.ended(without)
        assert told["result"]["said"] == "cpu"
        assert told["message"] == "it runs without a GPU: no node has NVIDIA-L4 or NVIDIA-T4"
        async with gpus(lab, liked) as given:
            told = await runs.ended(waiting)
            [pod] = await runs.pods(waiting)
            assert pod["spec"]["nodeName"] == given["NVIDIA-L4"], "the first is liked best"
            if "NVIDIA-T4" in given:
                run = await runs.start("t4", {"say": "gpu"})
                told = await runs.ended(run)
                [pod] = await runs.pods(run)
                assert (pod["spec"]["nodeName"], told["message"]) == (given["NVIDIA-T4"], "")


async def test_a_task_and_an_event_start_a_run_each(lab: Lab) -> None:
    async with Runs.of(lab) as runs:
        await runs.function("report")
        task = {
            "Type": "Task",
            "Resource": "torpor:job:report.sync",
            "ResultSelector": {"said.$": "$.result.said"},
            "End": True,
        }
        await workflows.apply(lab, "monthly", definition={"StartAt": "A", "States": {"A": task}})
        await triggers.apply(
            lab,
            "closed",
            source={"bus": {"name": "shop"}},
            target={"function": {"name": "report"}},
            transform={"input": {"say": "${data.month}"}},
        )
        api = workflows.StepFunctions(lab)
        execution = await api.start("monthly", {"say": "by a task"})
        for _ in range(3):
            await triggers.publish(lab, "buses/shop", "month.closed", {"month": "by an event"})
        ended = await api.ended(execution)
        assert json.loads(ended["output"]) == {"said": "by a task"}

        async def both() -> list[Json] | None:
            found = await runs.jobs("report")
            return found if len(found) == 2 else None

        jobs = await until("two runs", both, within=60)
        told = [await runs.ended(job["metadata"]["name"]) for job in jobs]
        assert {run["result"]["said"] for run in told} == {"by a task", "by an event"}
        assert len(await runs.jobs("report")) == 2


async def replaced(lab: Lab, old: list[Json]) -> bool | None:
    """Return True once as many other controllers are Ready, and those are gone."""
    names = {pod["metadata"]["name"] for pod in old}
    there = await lab.api.items(PODS, SYSTEM, f"{LABEL_COMPONENT}=controller")
    ready = [pod for pod in there if condition(pod, "Ready").get("status") == "True"]
    gone = not any(pod["metadata"]["name"] in names for pod in there)
    return True if gone and len(ready) == len(old) else None


def is_unschedulable(told: Json) -> bool:
    return bool(told["reason"] == "Unschedulable")


@asynccontextmanager
async def gpus(lab: Lab, products: list[str]) -> AsyncIterator[Mapping[str, str]]:
    """Give each product to a node that takes pods, as far as there are; yield node by product."""
    given = dict(zip(products, await schedulable(lab), strict=False))
    try:
        for product, node in given.items():
            await _change(lab, node, product, "1")
        yield given
    finally:
        for node in given.values():
            await _change(lab, node, None, None)


async def _change(lab: Lab, node: str, product: str | None, count: str | None) -> None:
    path = NODES.path("", node)
    amount: dict[str, Any] = {GPU_RESOURCE: count}
    await lab.api.merge(path, {"metadata": {"labels": {GPU_PRODUCT: product}}})
    await lab.api.merge(f"{path}/status", {"status": {"capacity": amount, "allocatable": amount}})


async def schedulable(lab: Lab) -> list[str]:
    """Return the nodes that take pods."""
    found = await lab.api.items(NODES, "")
    return sorted(
        str(node["metadata"]["name"])
        for node in found
        if condition(node, "Ready").get("status") == "True"
        and not any(taint["effect"] == "NoSchedule" for taint in node["spec"].get("taints", ()))
    )
