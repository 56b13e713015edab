"""A run's Job and its pods as the API shows them, reduced to what is told of a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.functions.runs.job import LABEL_QUEUE
from torpor.resources.job import MAX_COMPLETIONS
from torpor.resources.names import (
    ANNOTATION_RUN,
    ANNOTATION_RUN_CANCELLED,
    ANNOTATION_RUN_CODE,
    ANNOTATION_RUN_COUNTED,
    ANNOTATION_RUN_DEVICE,
    ANNOTATION_RUN_TRACE,
    CONTAINER_FUNCTION,
    LABEL_RUN,
    LABEL_RUN_OF,
    FunctionKey,
)

Seen = Mapping[str, Any]

_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_INDEX = "batch.kubernetes.io/job-completion-index"
_MOST_DIGITS = 10
"""Of a number with 32 bits."""
_NO_TROUBLE = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons for waiting that every container has for a while."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a Job ended, as its condition Complete or Failed says; `at` is RFC 3339."""

    succeeded: bool
    reason: str
    message: str
    at: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """The Job of a run. `told` is what its annotation says of the run, empty before it is written.

    `counted` is until when pods that ended are in what was told. `cancelled` is since when it is to
    end, empty for never. `trace` is its caller's traceparent. Its pods mount `code`, a copy of
    `code_source`; empty for none.
    """

    id: str
    key: FunctionKey
    uid: str
    version: str
    created: str
    completions: int
    timeout_seconds: int
    ttl_seconds: int
    queue: str
    suspended: bool
    cancelled: str
    device: str
    trace: str
    told: str
    counted: str
    code: str
    code_source: str
    active: int
    completed_indexes: str
    failed_indexes: str
    ending: Ending | None

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs or will: it ended, or was cancelled before it began."""
        return self.ending is not None or bool(self.cancelled and self.suspended)

    @property
    def reference(self) -> dict[str, Any]:
        """What an Event about it refers to."""
        meta = {"namespace": self.key.namespace, "name": self.id, "uid": self.uid}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta}


@dataclass(frozen=True, slots=True)
class RunPod:
    """One pod of a run. `attempt` counts from 1; `exit_code` is None until its container ended.

    `reason` and `message` say why it does not run yet; `output` is what its program left behind.
    `due` is when one that was told to go is to be gone, its grace over; empty for all others.
    """

    namespace: str
    run: str
    name: str
    uid: str
    index: int
    attempt: int
    node: str = ""
    address: str = ""
    due: str = ""
    disrupted: bool = False
    reason: str = ""
    message: str = ""
    started: str = ""
    finished: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    output: str = ""

    @property
    def is_running(self) -> bool:
        """Whether its program runs."""
        return bool(self.started) and self.exit_code is None

    @property
    def leaving(self) -> bool:
        """Whether it was told to go."""
        return bool(self.due)


def run_job_seen(obj: Seen) -> RunJob | None:
    """Return the Job; None if it is none of Torpor's."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    if labels.get(LABEL_RUN) != meta["name"] or not labels.get(LABEL_RUN_OF):
        return None
    completions = int(spec.get("completions") or 1)
    if completions > MAX_COMPLETIONS:
        return None
    return RunJob(
        id=meta["name"],
        key=FunctionKey(meta["namespace"], labels[LABEL_RUN_OF]),
        uid=meta["uid"],
        version=meta["resourceVersion"],
        created=str(meta.get("creationTimestamp") or ""),
        completions=completions,
        timeout_seconds=int(spec.get("activeDeadlineSeconds") or 0),
        ttl_seconds=int(spec.get("ttlSecondsAfterFinished") or 0),
        queue=labels.get(LABEL_QUEUE, ""),
        suspended=bool(spec.get("suspend")),
        cancelled=notes.get(ANNOTATION_RUN_CANCELLED, ""),
        device=notes.get(ANNOTATION_RUN_DEVICE, ""),
        trace=notes.get(ANNOTATION_RUN_TRACE, ""),
        told=notes.get(ANNOTATION_RUN, ""),
        counted=notes.get(ANNOTATION_RUN_COUNTED, ""),
        code=_code(spec) if ANNOTATION_RUN_CODE in notes else "",
        code_source=notes.get(ANNOTATION_RUN_CODE, ""),
        active=int(status.get("active") or 0),
        completed_indexes=str(status.get("completedIndexes") or ""),
        failed_indexes=str(status.get("failedIndexes") or ""),
        ending=_job_ending(status),
    )


def run_pod_seen(obj: Seen) -> RunPod | None:
    """Return the pod; None if it is none of a run's."""
    meta, status = obj["metadata"], obj.get("status") or {}
    labels, notes = meta.get("labels") or {}, meta.get("annotations") or {}
    index, failures = (_number(notes.get(name) or "0") for name in (_INDEX, _FAILURES))
    if not labels.get(LABEL_RUN) or index is None or failures is None:
        return None
    state = _container(status).get("state") or {}
    ended, running = state.get("terminated") or {}, state.get("running") or {}
    reason, message = _waiting(status, state.get("waiting") or {})
    is_over = status.get("phase") in ("Succeeded", "Failed")
    return RunPod(
        namespace=meta["namespace"],
        run=labels[LABEL_RUN],
        name=meta["name"],
        uid=meta["uid"],
        index=index,
        attempt=failures + 1,
        node=str((obj.get("spec") or {}).get("nodeName") or ""),
        address=str(status.get("podIP") or ""),
        due=str(meta.get("deletionTimestamp") or ""),
        disrupted=_condition(status, "DisruptionTarget").get("status") == "True",
        reason="" if ended or running or is_over else reason,
        message="" if ended or running or is_over else message,
        started=str(ended.get("startedAt") or running.get("startedAt") or ""),
        finished=str(ended.get("finishedAt") or ""),
        exit_code=_exit_code(status, ended),
        exit_reason=str(ended.get("reason") or status.get("reason") or ""),
        output=str(ended.get("message") or ""),
    )


def indexes_of(text: str) -> list[int]:
    """Return the indexes that Kubernetes writes as `1,3-5,7`."""
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _number(note: str) -> int | None:
    """Return what Kubernetes' controller of Jobs wrote; None for what anybody else may have."""
    return int(note) if note.isascii() and note.isdigit() and len(note) <= _MOST_DIGITS else None


def _job_ending(status: Seen) -> Ending | None:
    for kind in ("Complete", "Failed"):
        found = _condition(status, kind)
        if found.get("status") == "True":
            return Ending(
                succeeded=kind == "Complete",
                reason=str(found.get("reason") or ""),
                message=str(found.get("message") or ""),
                at=str(status.get("completionTime") or found.get("lastTransitionTime") or ""),
            )
    return None


def _code(spec: Seen) -> str:
    pod = (spec.get("template") or {}).get("spec") or {}
    maps = (item.get("configMap") for item in pod.get("volumes") or () if item["name"] == "code")
    return next((str(item["name"]) for item in maps if item), "")


def _exit_code(status: Seen, ended: Seen) -> int | None:
    """Return the exit code; that of a kill for a pod which failed before its container ended."""
    if "exitCode" in ended:
        return int(ended["exitCode"])
    return 137 if status.get("phase") == "Failed" else None


def _waiting(status: Seen, waiting: Seen) -> tuple[str, str]:
    """Return why the container does not run yet, and in words."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        reason = str(scheduled.get("reason") or "Unschedulable")
        return reason, str(scheduled.get("message") or "no node takes it")
    reason = str(waiting.get("reason") or "")
    if reason not in _NO_TROUBLE:
        return reason, str(waiting.get("message") or "the container cannot be started")
    return "Starting", "a pod is being started"


def _container(status: Seen) -> Seen:
    for item in status.get("containerStatuses") or ():
        if item.get("name") == CONTAINER_FUNCTION:
            return item  # type: ignore[no-any-return]
    return {}


def _condition(status: Seen, kind: str) -> Seen:
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            return condition  # type: ignore[no-any-return]
    return {}
