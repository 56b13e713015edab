"""The faults of a cluster: pods deleted without grace, by whoever may delete them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from torpor.cli.chaos.outcome import Outcome
from torpor.cli.cluster import Cluster
from torpor.cli.run import cluster as runs
from torpor.cli.run.values import NoSuchRun, RunName
from torpor.errors import ApiNotFound, TorporError
from torpor.functions.runs.seen import RunPod
from torpor.platform.kubernetes.resources import PODS
from torpor.resources.names import LABEL_COMPONENT, LABEL_FUNCTION, FunctionKey
from torpor.resources.run import Run

_LOOK_SECONDS = 0.5
_BACK_SECONDS = 90.0
_ENGINES = f"{LABEL_COMPONENT}=engine,app.kubernetes.io/name=torpor"
Pod = Mapping[str, Any]
Kill = Callable[[Cluster, FunctionKey], Awaitable[Outcome]]


class NothingToKill(TorporError):
    """There is no such pod now."""

    code = "nothing-to-kill"


async def kill_run(api: Cluster, key: FunctionKey) -> Outcome:
    """Delete the pods that run of a run, or of the latest of a Function that goes on."""
    name = await _run_name(api, key)
    before = await runs.pods(api, name)
    victims = [pod for pod in before if pod.is_running]
    if not victims:
        raise NothingToKill(f"no pod of run {name} runs now: `torpor run show {name.id}` tells")
    run = await runs.run(api, name)
    for pod in victims:
        await _delete(api, pod.namespace, pod.name)
    again, seconds = await _until(lambda: _started_again(api, name, before), "its pods")
    new = ", ".join(f"{pod.name} (index {pod.index})" for pod in again)
    return Outcome(
        did=f"run {name}: {len(victims)} pods deleted without grace",
        lost=f"what was not in its checkpoint ({_progress(run)}); after {seconds:.0f} s it goes on "
        f"in {new or 'no pod: it has ended'}",
        watch=f"torpor run show {name.id} -n {name.namespace}",
    )


async def kill_pod(api: Cluster, key: FunctionKey) -> Outcome:
    """Delete one pod of a Function."""
    function = await api.function(key)
    if function["spec"].get("workload") == "Job":
        raise NothingToKill(f"{key} is a Job, which has runs: torpor chaos kill-run {key}")
    found = await _pods(api, key.namespace, f"{LABEL_FUNCTION}={key.name}")
    if not found:
        raise NothingToKill(f"{key} is at zero: send it a request, and kill it then")
    victim = found[0]["metadata"]["name"]
    await _delete(api, key.namespace, victim)
    return Outcome(
        did=f"function {key}: pod {victim}, one of {len(found)}, deleted without grace",
        lost="requests: those that were in it and had an answer begun, or may not be sent twice; "
        "others are held until an instance is ready",
        watch=f"torpor fn show {key.name} -n {key.namespace}",
    )


async def kill_engine(api: Cluster, namespace: str) -> Outcome:
    """Delete one pod of the engine role."""
    found = await _pods(api, namespace, _ENGINES)
    if not found:
        raise NothingToKill(
            f"no engine in {namespace}: --torpor-namespace says where Torpor is, and "
            "workflows.enabled=true installs it"
        )
    names = {pod["metadata"]["name"] for pod in found}
    victim = found[0]["metadata"]["name"]
    await _delete(api, namespace, victim)

    async def back() -> Sequence[str] | None:
        now = {pod["metadata"]["name"] for pod in await _ready(api, namespace, _ENGINES)}
        return sorted(now) if len(now) >= len(names) and victim not in now else None

    _, seconds = await _until(back, "engines")
    return Outcome(
        did=f"engine {victim}, one of {len(names)}, deleted without grace",
        lost="nothing: its executions go on from what is committed, in the other engines as soon "
        f"as its leases end. {len(names)} engines are ready again after {seconds:.0f} s",
        watch="torpor workflow list; kubectl get pods -n " + namespace,
    )


async def _run_name(api: Cluster, key: FunctionKey) -> RunName:
    name = RunName(key.namespace, key.name)
    try:
        await runs.run(api, name)
    except NoSuchRun:
        found = [run for run in await runs.runs(api, key.namespace) if run.key == key]
        live = [run for run in found if not run.state.is_final]
        if not live:
            raise
        return RunName(key.namespace, max(live, key=lambda run: run.created).id)
    return name


async def _started_again(
    api: Cluster, name: RunName, before: Sequence[RunPod]
) -> Sequence[RunPod] | None:
    """Return the pods that run in place of others; none once the run is over; else None."""
    known = {pod.uid for pod in before}
    new = [pod for pod in await runs.pods(api, name) if pod.uid not in known and pod.is_running]
    over = (await runs.run(api, name)).state.is_final
    return new if new or over else None


async def _until(look: Callable[[], Awaitable[Any]], what: str) -> tuple[Any, float]:
    """Return what it gives as soon as that is not None, and the seconds that it took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while (found := await look()) is None:
        if clock() - began > _BACK_SECONDS:
            raise NothingToKill(f"deleted, but {what} are not back within {_BACK_SECONDS:g} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return found, clock() - began


async def _pods(api: Cluster, namespace: str, selector: str) -> list[Pod]:
    """Return pods that are there and not on their way out, the oldest first."""
    items = (await api.get(PODS.path(namespace), {"labelSelector": selector}))["items"]
    there = [pod for pod in items if not pod["metadata"].get("deletionTimestamp")]
    return sorted(there, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))


async def _ready(api: Cluster, namespace: str, selector: str) -> list[Pod]:
    found = await _pods(api, namespace, selector)
    return [
        pod
        for pod in found
        for condition in pod.get("status", {}).get("conditions", ())
        if condition["type"] == "Ready" and condition["status"] == "True"
    ]


async def _delete(api: Cluster, namespace: str, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    try:
        await api.call("DELETE", PODS.path(namespace, name), body)
    except ApiNotFound as error:
        raise NothingToKill(f"pod {namespace}/{name} was gone already: try again") from error


def _progress(run: Run) -> str:
    told = run.progress or {}
    if told.get("done") is None:
        return "its program told of no progress"
    return f"it had told of {told['done']:g} {told.get('unit') or 'units'}"
