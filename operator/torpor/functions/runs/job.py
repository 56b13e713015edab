"""What one invocation of a Job Function becomes: a Kubernetes Job that carries all it needs. Pure.

The Job has no owner, so that changing or deleting its Function leaves it alone; Kubernetes deletes
it `ttlSeconds` after its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from torpor.functions.runs.template import run_pod
from torpor.functions.runs.words import EXIT_BAD_INPUT, EXIT_STOPPED
from torpor.resources.function import Function
from torpor.resources.job import Job
from torpor.resources.names import (
    ANNOTATION_RUN_CODE,
    ANNOTATION_RUN_DEVICE,
    ANNOTATION_RUN_INPUT,
    ANNOTATION_RUN_TRACE,
    CONTAINER_FUNCTION,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    LABEL_RUN_OF,
    MANAGED_BY,
)
from torpor.resources.run import RunRequest, run_id
from torpor.settings import ControllerSettings

Json = dict[str, Any]

COMPONENT_RUN: Final = "run"
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"


@dataclass(frozen=True, slots=True)
class Device:
    """Whether the pods get the GPUs that their Function asks for; `reason` is why they do not."""

    has_gpu: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunCode:
    """What the ConfigMap `source` holds, and the name of the copy that a run is to have of it."""

    name: str
    source: str
    content: Json


def run_job(
    function: Function,
    job: Job,
    request: RunRequest,
    settings: ControllerSettings,
    device: Device,
    code: RunCode | None = None,
) -> Json:
    """Return the Job of a run; UnknownRuntime if no image is known for the function's runtime.

    Its pods mount the copy `code` in place of the Function's ConfigMap.
    """
    if code and function.code:
        function = replace(function, code=replace(function.code, config_map=code.name))
    notes = {
        ANNOTATION_RUN_DEVICE: device.reason,
        ANNOTATION_RUN_CODE: code.source if code else "",
        ANNOTATION_RUN_TRACE: request.traceparent,
    }
    name = run_id(function.key, function.uid, request.idempotency_key)
    labels = {
        LABEL_RUN_OF: function.key.name,
        LABEL_RUN: name,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_COMPONENT: COMPONENT_RUN,
    }
    template = {
        "metadata": {
            "labels": labels,
            "annotations": {
                "kubectl.kubernetes.io/default-container": CONTAINER_FUNCTION,
                ANNOTATION_RUN_INPUT: request.input,
            },
        },
        "spec": run_pod(function, job, request, settings, has_gpu=device.has_gpu),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": function.key.namespace,
            "labels": {**labels, **({LABEL_QUEUE: job.queue} if job.queue else {})},
            "annotations": {name: text for name, text in notes.items() if text},
        },
        "spec": {**_spec(job), "template": template},
    }


def _spec(job: Job) -> Json:
    """Return all but the template. One index that failed for good fails the run."""
    return {
        "completionMode": "Indexed",
        "completions": job.completions,
        "parallelism": job.parallelism,
        "backoffLimitPerIndex": job.retries_per_index,
        "maxFailedIndexes": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _failure_rules()},
        "activeDeadlineSeconds": job.timeout_seconds,
        "ttlSecondsAfterFinished": job.ttl_seconds,
        # Kueue starts what is suspended; nobody else may.
        **({"suspend": True} if job.queue else {}),
    }


def _failure_rules() -> list[Json]:
    """Return what becomes of an index whose pod failed; the first that fits holds.

    137 is not ignored: an index that runs out of memory exits so as well, and would for ever.
    """

    def exits(code: int) -> Json:
        return {"containerName": CONTAINER_FUNCTION, "operator": "In", "values": [code]}

    disrupted = [{"type": "DisruptionTarget", "status": "True"}]
    return [
        {"action": "Ignore", "onPodConditions": disrupted},
        {"action": "Ignore", "onExitCodes": exits(EXIT_STOPPED)},
        {"action": "FailIndex", "onExitCodes": exits(EXIT_BAD_INPUT)},
    ]
