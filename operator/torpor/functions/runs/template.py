"""The pods of a run: the function's container, told by files and variables what to do. Pure.

The input is an annotation of the pod that the kubelet shows as a file, and the result is the
container's termination message, so a pod needs no token and no call to be told or to tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from torpor.functions import mounts, placement
from torpor.functions.containers import container_security, env_list, pod_security
from torpor.functions.pod_template import telling
from torpor.functions.runs.spans import traceparent_of
from torpor.functions.runtime_container import fetcher, runtime_container
from torpor.resources.function import Function
from torpor.resources.job import CheckpointPlace, Job, JobGpu
from torpor.resources.names import ANNOTATION_RUN_INPUT, CONTAINER_FUNCTION
from torpor.resources.run import RunRequest, run_id
from torpor.settings import ControllerSettings

Json = dict[str, Any]

PROGRESS_PORT: Final = 9465
"""Where a program may tell of its progress, TORPOR_PROGRESS_PORT."""
OUTPUT: Final = "/dev/termination-log"
"""TORPOR_OUTPUT; the kubelet mounts a file there, which is written in place, not renamed onto."""
_INPUT_FOLDER = "/var/torpor/run"
INPUT: Final = f"{_INPUT_FOLDER}/input"
"""TORPOR_INPUT."""
_LOST_NODE_SECONDS = 30
"""How long a pod stays bound to a node that is not heard of; Kubernetes' own time is 300 s."""
_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_GPU_CAPABILITIES = "compute,video,utility"


def run_pod(
    function: Function,
    job: Job,
    request: RunRequest,
    settings: ControllerSettings,
    *,
    has_gpu: bool,
) -> Json:
    """Return the spec of the pods; without `has_gpu` they ask for none."""
    gpu = job.gpu if has_gpu else None
    volume = _input_volume(item.name for item in function.volumes)
    optional = {
        "serviceAccountName": function.service_account_name,
        "imagePullSecrets": [dict(item) for item in function.image_pull_secrets],
        "nodeSelector": dict(function.node_selector),
        "affinity": placement.ordered_affinity(gpu.products) if gpu else {},
        "initContainers": fetcher(function, settings),
    }
    return {
        "restartPolicy": "Never",
        "containers": [_container(function, job, request, settings, gpu, volume["name"])],
        "securityContext": pod_security(function),
        "automountServiceAccountToken": function.service_account_name is not None,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": job.grace_seconds,
        "tolerations": _tolerations(function, job, gpu),
        "volumes": [volume, *mounts.volumes(function)],
        **{name: value for name, value in optional.items() if value},
    }


def _container(
    function: Function,
    job: Job,
    request: RunRequest,
    settings: ControllerSettings,
    gpu: JobGpu | None,
    input_volume: str,
) -> Json:
    container: Json = {
        "name": CONTAINER_FUNCTION,
        "image": function.image,
        "env": [
            *_environment(function, job, request, gpu),
            *env_list(telling(function, settings)),
            *(dict(item) for item in function.env),
        ],
        "ports": [{"name": "progress", "containerPort": PROGRESS_PORT, "protocol": "TCP"}],
        "securityContext": dict(container_security(function)),
        "terminationMessagePath": OUTPUT,
        "volumeMounts": [
            {"name": input_volume, "mountPath": _INPUT_FOLDER, "readOnly": True},
            *mounts.mounts(function),
        ],
    }
    optional: Json = {
        "command": list(function.command),
        "args": list(function.args),
        "envFrom": [dict(item) for item in function.env_from],
        "resources": _resources(function, gpu),
    }
    container |= {name: value for name, value in optional.items() if value}
    if function.runtime is None:
        return container
    return container | runtime_container(function, settings, container["env"])


def _environment(
    function: Function, job: Job, request: RunRequest, gpu: JobGpu | None
) -> list[Json]:
    run = run_id(function.key, function.uid, request.idempotency_key)
    values = {
        "TORPOR_FUNCTION": str(function.key),
        "TORPOR_RUN_ID": run,
        "TORPOR_INPUT": INPUT,
        "TORPOR_OUTPUT": OUTPUT,
        "TORPOR_COMPLETIONS": str(job.completions),
        "TORPOR_PROGRESS_PORT": str(PROGRESS_PORT),
        "TORPOR_TIMEOUT_SECONDS": str(job.timeout_seconds),
        "TORPOR_GRACE_SECONDS": str(job.grace_seconds),
        **(_checkpoint(function, job.checkpoint) if job.checkpoint else {}),
        "TRACEPARENT": traceparent_of(run, request.traceparent),
        **({"NVIDIA_DRIVER_CAPABILITIES": _GPU_CAPABILITIES} if gpu else {}),
    }
    failures = {"fieldRef": {"fieldPath": f"metadata.annotations['{_FAILURES}']"}}
    return [*env_list(values), {"name": "TORPOR_FAILURES", "valueFrom": failures}]


def _checkpoint(function: Function, place: CheckpointPlace) -> dict[str, str]:
    folders = {item.name: item.mount_path for item in function.volumes}
    url = place.store or f"file://{folders[place.volume or '']}"
    return {
        "TORPOR_CHECKPOINT": url.replace("$", "$$"),
        "TORPOR_CHECKPOINT_SECONDS": str(place.interval_seconds),
    }


def _resources(function: Function, gpu: JobGpu | None) -> Json:
    if gpu is None:
        return dict(function.resources)
    limits = function.resources.get("limits") or {}
    return {**function.resources, "limits": {**limits, gpu.resource: gpu.count}}


def _tolerations(function: Function, job: Job, gpu: JobGpu | None) -> list[Json]:
    given = [*function.tolerations, *(job.spot.tolerations if job.spot else ())]
    lost = [
        {
            "key": f"node.kubernetes.io/{state}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _LOST_NODE_SECONDS,
        }
        for state in ("not-ready", "unreachable")
    ]
    return [*map(dict, given), *([dict(placement.GPU_TAINT)] if gpu else []), *lost]


def _input_volume(taken: Iterable[str]) -> Json:
    """Return the volume with the input; its name is none of the user's."""
    name, used = "input", set(taken)
    while name in used:
        name = f"torpor-{name}"
    item = {
        "path": "input",
        "fieldRef": {"fieldPath": f"metadata.annotations['{ANNOTATION_RUN_INPUT}']"},
    }
    return {"name": name, "downwardAPI": {"items": [item]}}
