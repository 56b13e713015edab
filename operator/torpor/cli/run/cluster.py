"""Runs as the API server shows them: Jobs with what the leader says of each, and their pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.cli.cluster import Cluster
from torpor.cli.run.values import NoSuchRun, RunName
from torpor.errors import ApiNotFound
from torpor.functions.runs.memory import told_of
from torpor.functions.runs.seen import RunJob, RunPod, run_job_seen, run_pod_seen
from torpor.functions.runs.words import EXIT_BAD_INPUT, EXIT_STOPPED
from torpor.platform.kubernetes.resources import JOBS, PODS
from torpor.resources.names import ANNOTATION_RUN_INPUT, LABEL_RUN
from torpor.resources.run import Run, unknown_run
from torpor.resources.run_details import RunAttempt, RunDetails

Json = Mapping[str, Any]


async def runs(api: Cluster, namespace: str) -> list[Run]:
    """Return the runs of a namespace, of all if it is empty."""
    found = await api.get(JOBS.path(namespace), {"labelSelector": LABEL_RUN})
    jobs = [job for item in found["items"] if (job := run_job_seen(item)) is not None]
    return [told_of(job) for job in jobs]


async def details(api: Cluster, name: RunName) -> RunDetails:
    """Return all about a run; NoSuchRun."""
    obj, job = await _job(api, name)
    attempts = tuple(_attempt(pod) for pod in await pods(api, name))
    notes = obj["spec"]["template"]["metadata"].get("annotations") or {}
    return RunDetails(told_of(job), attempts, str(notes.get(ANNOTATION_RUN_INPUT, "")))


async def pods(api: Cluster, name: RunName) -> list[RunPod]:
    """Return the pods that there are of a run, by index and attempt."""
    selector = {"labelSelector": f"{LABEL_RUN}={name.id}"}
    items = (await api.get(PODS.path(name.namespace), selector))["items"]
    found = [pod for item in items if (pod := run_pod_seen(item)) is not None]
    return sorted(found, key=lambda pod: (pod.index, pod.attempt, pod.started, pod.name))


async def run(api: Cluster, name: RunName) -> Run:
    """Return the run as it is now; NoSuchRun."""
    return told_of((await _job(api, name))[1])


async def _job(api: Cluster, name: RunName) -> tuple[Json, RunJob]:
    try:
        obj = await api.get(JOBS.path(name.namespace, name.id))
    except ApiNotFound:
        obj = {}
    job = run_job_seen(obj) if obj else None
    if job is None:
        text = unknown_run(name.namespace, name.id)
        raise NoSuchRun(f"{text}; `torpor run list -A --all` shows all")
    return obj, job


def _attempt(pod: RunPod) -> RunAttempt:
    return RunAttempt(pod.index, pod.attempt, pod.node or "-", _how(pod))


def _how(pod: RunPod) -> str:
    if pod.is_running:
        return "stops" if pod.leaving else "runs"
    if pod.exit_code is None:
        return f"{pod.reason}: {pod.message}" if pod.reason else "waits"
    if pod.exit_code == 0:
        return "succeeded"
    named = {EXIT_BAD_INPUT: "bad input", EXIT_STOPPED: "told to stop"}.get(pod.exit_code, "")
    why = "its node took it away" if pod.disrupted else named
    why = why or (pod.exit_reason if pod.exit_reason != "Error" else "")
    return f"exit code {pod.exit_code}" + (f", {why}" if why else "")
