"""Functions, Triggers and runs as Kubernetes' objects tell of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torpor.dashboard import translating
from torpor.dashboard.model import (
    MOST_COLD_STARTS,
    ColdStarted,
    FunctionSeen,
    FunctionState,
    Json,
    TriggerSeen,
    TriggerState,
)
from torpor.errors import InvalidResource
from torpor.functions.runs.memory import told_of
from torpor.functions.runs.seen import run_job_seen
from torpor.resources.conditions import READY, STALLED, find
from torpor.resources.load import ColdStart, FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Trigger
from torpor.triggers.standings import Standing
from torpor.triggers.wanted import is_direct

Loads = Mapping[FunctionKey, FunctionLoad]


def loads_of(answers: Iterable[GatewayLoad]) -> Loads:
    """Return the load of each Function on all gateways together."""
    found: dict[FunctionKey, list[FunctionLoad]] = defaultdict(list)
    for answer in answers:
        for key, load in answer.functions.items():
            found[key].append(load)
    return {key: _together(loads) for key, loads in found.items()}


def _together(loads: Sequence[FunctionLoad]) -> FunctionLoad:
    return FunctionLoad(
        in_flight=sum(load.in_flight for load in loads),
        queued=sum(load.queued for load in loads),
        held=sum(load.held for load in loads),
        requests=sum(load.requests for load in loads),
    )


def cold_starts_of(answers: Iterable[GatewayLoad]) -> Mapping[FunctionKey, Sequence[ColdStarted]]:
    """Return the latest cold starts of each Function, the last one of each gateway first."""
    found: dict[FunctionKey, list[ColdStart]] = defaultdict(list)
    for answer in answers:
        for item in answer.cold_starts:
            found[item.function].append(item)
    return {
        key: [
            ColdStarted(item.total_ms, item.phases)
            for item in sorted(items, key=lambda item: -item.sequence)[:MOST_COLD_STARTS]
        ]
        for key, items in found.items()
    }


def function_seen(
    obj: Json, load: FunctionLoad, cold_starts: Sequence[ColdStarted]
) -> FunctionSeen:
    """Return a Function's object with what the gateways say of it."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    replicas = status.get("replicas") or {}
    ready, starting = int(replicas.get("ready", 0)), int(replicas.get("starting", 0))
    trouble = _trouble(status)
    return FunctionSeen(
        namespace=meta["namespace"],
        name=meta["name"],
        workload=spec.get("workload", "Service"),
        state=_state(obj, ready, starting, trouble),
        replicas=ready + starting,
        ready=ready,
        wanted=int(replicas.get("desired", 0)),
        in_flight=load.in_flight,
        queued=load.queued,
        held=load.held,
        requests=load.requests,
        reason=trouble or str(status.get("reason") or ""),
        cold_starts=cold_starts or _told_cold_start(status),
    )


def _state(obj: Json, ready: int, starting: int, trouble: str) -> FunctionState:
    spec = obj.get("spec") or {}
    if spec.get("workload") == "Job":
        return FunctionState.FAILING if trouble else FunctionState.JOB
    if (spec.get("scaling") or {}).get("paused"):
        return FunctionState.PAUSED
    if ready:
        return FunctionState.READY
    if trouble:
        return FunctionState.FAILING
    return FunctionState.WAKING if starting else FunctionState.ZERO


def _trouble(status: Json) -> str:
    conditions = status.get("conditions", ())
    for kind, failing in ((STALLED, "True"), (READY, "False")):
        found = find(conditions, kind)
        if found and found["status"] == failing:
            return f"{found['reason']}: {found['message']}"
    return ""


def _told_cold_start(status: Json) -> Sequence[ColdStarted]:
    """The last one that the leader wrote down, for a gateway that has forgotten it."""
    last = (status.get("coldStart") or {}).get("last") or {}
    phases = {name: float(value) for name, value in last.items() if name != "total"}
    return [ColdStarted(float(last["total"]), phases)] if "total" in last else ()


def trigger_seen(obj: Json, standings: Mapping[FunctionKey, Standing]) -> TriggerSeen:
    """Return a Trigger's object as the events role has it, and what the controller says of it."""
    try:
        trigger = Trigger.parse(obj)
    except InvalidResource as error:
        meta = obj["metadata"]
        failing = TriggerState.FAILING
        return TriggerSeen(meta["namespace"], meta["name"], "", "", failing, str(error), 0, 0, 0)
    standing = standings.get(trigger.key)
    seen = translating.trigger(trigger, standing, is_direct=is_direct(trigger))
    trouble = _trouble(obj.get("status") or {})
    if (trouble and seen.state is TriggerState.READY) or (trouble and standing is None):
        return replace(seen, state=TriggerState.FAILING, message=trouble)
    return seen


def runs_seen(jobs: Iterable[Json]) -> list[Json]:
    """Return the runs of these Jobs, the newest first."""
    found: list[tuple[str, Json]] = []
    for obj in jobs:
        job = run_job_seen(obj)
        if job is not None:
            found.append((job.created, translating.run(told_of(job), _traceparent(obj))))
    return [run for _, run in sorted(found, key=lambda each: each[0], reverse=True)]


def _traceparent(job: Mapping[str, Any]) -> str:
    containers = job["spec"]["template"]["spec"].get("containers") or ()
    variables = (each for container in containers for each in container.get("env") or ())
    found = (each.get("value", "") for each in variables if each.get("name") == "TRACEPARENT")
    return str(next(found, ""))
