"""The pods of a Function: its container, what Torpor adds to it, and who they run as. Pure.

Pods meet the "restricted" Pod Security Standard, so an image must name a numeric user other than
root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torpor.errors import TorporError
from torpor.functions import mounts, placement
from torpor.resources.code import Code
from torpor.resources.function import Function, Payload
from torpor.resources.instance import Probe
from torpor.resources.names import (
    ANNOTATION_CODE_VERSION,
    CONTAINER_ANNOUNCER,
    CONTAINER_CODE,
    CONTAINER_FUNCTION,
    LABEL_COMPONENT,
    LABEL_FUNCTION,
    LABEL_MANAGED_BY,
    MANAGED_BY,
)
from torpor.resources.tokens import InstanceTokens
from torpor.settings import ControllerSettings

Json = dict[str, Any]

COMPONENT_FUNCTION = "function"
RUNTIME_USER = 65532
DRAIN_SECONDS = 2
"""How long a pod that is to go serves on, so that every gateway has taken it out by then."""
_FETCHES = "python3"
"""The runtime that fetches archives, also for others."""
_MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
GRACE_SECONDS = 5
"""What a pod gets beyond the function's own time-out to finish its requests."""


class UnknownRuntime(TorporError):
    """The Function asks for a runtime that this installation has no image for."""

    code = "unknown-runtime"

    def __init__(self, runtime: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"spec.runtime: {runtime!r} is not installed; installed: {', '.join(known) or 'none'}"
        )


def selector(function: Function) -> dict[str, str]:
    """Return the labels by which the pods of a function are found in its namespace."""
    return {LABEL_FUNCTION: function.key.name, LABEL_MANAGED_BY: MANAGED_BY}


def labels(function: Function) -> dict[str, str]:
    """Return the labels of everything that belongs to a function."""
    return {**selector(function), LABEL_COMPONENT: COMPONENT_FUNCTION}


def pod_template(
    function: Function,
    settings: ControllerSettings,
    tokens: InstanceTokens,
    code_version: str | None,
) -> Json:
    """Return the template of the pods; UnknownRuntime if no image is known for the runtime.

    `tokens` are as in `desired.children`; `code_version` names what is in the code's ConfigMap.
    """
    return {
        "metadata": {
            "labels": labels(function),
            "annotations": _template_annotations(code_version),
        },
        "spec": _pod(function, settings, tokens),
    }


def _template_annotations(code_version: str | None) -> dict[str, str]:
    annotations = {"kubectl.kubernetes.io/default-container": CONTAINER_FUNCTION}
    if code_version is not None:
        annotations[ANNOTATION_CODE_VERSION] = code_version
    return annotations


def _pod(function: Function, settings: ControllerSettings, tokens: InstanceTokens) -> Json:
    environment = _torpor_environment(function, settings, tokens)
    container = _container(function, settings, environment)
    optional = {
        "serviceAccountName": function.service_account_name,
        "imagePullSecrets": [dict(item) for item in function.image_pull_secrets],
        "nodeSelector": dict(function.node_selector),
        "affinity": placement.affinity(function),
        "tolerations": placement.tolerations(function),
        "topologySpreadConstraints": placement.spread(selector(function)),
        "volumes": mounts.volumes(function),
        "initContainers": fetcher(function, settings),
    }
    first = [_announcer(settings, environment)] if announces(function) else []
    return {
        "containers": [*first, container],
        "securityContext": pod_security(function),
        "automountServiceAccountToken": function.service_account_name is not None,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": function.timeout_seconds + GRACE_SECONDS,
        **{name: value for name, value in optional.items() if value},
    }


def announces(function: Function) -> bool:
    """Return whether the pod has an announcer; runtimes announce themselves."""
    return function.image is not None and function.announcer


def pod_security(function: Function) -> Json:
    """Return who the pod's processes run as."""
    user = {"runAsUser": RUNTIME_USER} if function.runtime else {}
    return {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        **user,
        **mounts.security(function, RUNTIME_USER),
    }


def container_security(function: Function) -> Json:
    """Return what the function's container may not do."""
    read_only = {"readOnlyRootFilesystem": True} if mounts.is_read_only(function) else {}
    return {**_RESTRICTED, **read_only}


_RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def _torpor_environment(
    function: Function, settings: ControllerSettings, tokens: InstanceTokens
) -> dict[str, str]:
    host = f"torpor-gateway-internal.{settings.namespace}.svc.{settings.cluster_domain}."
    return {
        "PORT": str(function.port),
        "TORPOR_FUNCTION": str(function.key),
        "TORPOR_ANNOUNCE_URL": f"http://{host}:{settings.internal_port}/v1/announce",
        "TORPOR_ANNOUNCE_TOKEN": tokens.announce,
        "TORPOR_DETAIL_TOKEN": tokens.detail,
        "TORPOR_TIMEOUT_SECONDS": str(function.timeout_seconds),
    }


def _container(
    function: Function, settings: ControllerSettings, environment: Mapping[str, str]
) -> Json:
    container: Json = {
        "name": CONTAINER_FUNCTION,
        "image": function.image,
        "env": [*env_list(environment), *(dict(item) for item in function.env)],
        "ports": [{"name": "http", "containerPort": function.port, "protocol": "TCP"}],
        "securityContext": container_security(function),
        "readinessProbe": {"periodSeconds": 1, **_probe(function.readiness_probe, function.port)},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }
    optional: Json = {
        "command": list(function.command),
        "args": list(function.args),
        "envFrom": [dict(item) for item in function.env_from],
        "resources": placement.resources(function),
        "livenessProbe": function.liveness_probe and _probe(function.liveness_probe, function.port),
        "volumeMounts": mounts.mounts(function),
    }
    container |= {name: value for name, value in optional.items() if value}
    return container | _runtime(function, settings, container["env"])


def _runtime(function: Function, settings: ControllerSettings, env: list[Json]) -> Json:
    """Return what a runtime's container has besides or instead of an image's."""
    if function.runtime is None:
        return {}
    return runtime_container(function, settings, env)


def runtime_container(
    function: Function, settings: ControllerSettings, env: Sequence[Json]
) -> Json:
    """Return image and environment of a runtime's container, its handler in it; `env` besides."""
    own = {
        "TORPOR_HANDLER": function.handler or "",
        "TORPOR_PAYLOAD": function.payload.value,
        "TORPOR_CONCURRENCY_LIMIT": str(function.scaling.concurrency.limit),
        **_code(function.code),
    }
    folder = {"workingDir": own["TORPOR_CODE_DIR"]} if fetcher(function, settings) else {}
    return {
        **folder,
        "image": runtime_image(function.runtime or "", settings),
        "imagePullPolicy": settings.image_pull_policy,
        "env": [*env_list(own), *_memory(function), *env],
    }


def runtime_image(runtime: str, settings: ControllerSettings) -> str:
    """Return the image of a runtime; UnknownRuntime if none is installed."""
    image = settings.runtime_images.get(runtime)
    if image is None:
        raise UnknownRuntime(runtime, tuple(sorted(settings.runtime_images)))
    return image


def fetcher(function: Function, settings: ControllerSettings) -> list[Json]:
    """Return what fetches an archive first, for a runtime that does not do so itself."""
    archive = function.code and function.code.archive
    if not archive or (function.runtime or "").startswith(_FETCHES):
        return []
    return [
        {
            "name": CONTAINER_CODE,
            "image": runtime_image(_FETCHES, settings),
            "imagePullPolicy": settings.image_pull_policy,
            "command": ["python", "-P", "-s", "-m", "torpor_runtime.archive"],
            "env": env_list(_code(function.code)),
            "securityContext": container_security(function),
            "volumeMounts": [{"name": "code", "mountPath": mounts.CODE_DIRECTORY}],
        }
    ]


def _code(code: Code | None) -> dict[str, str]:
    """Return what tells a runtime where its code is, unless it is where it always looks."""
    if code and code.inline is not None:
        # The kubelet replaces $(NAME) and $$ in values; $$ is how a $ stays one.
        return {"TORPOR_CODE": code.inline.replace("$", "$$")}
    if code and code.archive:
        return {
            "TORPOR_ARCHIVE_URL": code.archive.url.replace("$", "$$"),
            "TORPOR_ARCHIVE_SHA256": code.archive.sha256,
            "TORPOR_CODE_DIR": f"{mounts.CODE_DIRECTORY}/{code.archive.sha256[:16]}",
        }
    return {}


def _memory(function: Function) -> list[Json]:
    """Return what Lambda's context tells of memory: the limit, or the node's without one."""
    if function.payload is not Payload.LAMBDA or any(e["name"] == _MEMORY for e in function.env):
        return []
    limit = {"containerName": CONTAINER_FUNCTION, "resource": "limits.memory", "divisor": "1Mi"}
    return [{"name": _MEMORY, "valueFrom": {"resourceFieldRef": limit}}]


def _probe(probe: Probe | None, port: int) -> Json:
    times = dict(probe.times) if probe else {}
    if probe is None or probe.http_path is None:
        return {"tcpSocket": {"port": port}, **times}
    return {"httpGet": {"path": probe.http_path, "port": port}, **times}


def _announcer(settings: ControllerSettings, environment: Mapping[str, str]) -> Json:
    names = ("PORT", "TORPOR_FUNCTION", "TORPOR_ANNOUNCE_URL", "TORPOR_ANNOUNCE_TOKEN")
    return {
        "name": CONTAINER_ANNOUNCER,
        "image": settings.announcer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": env_list({name: environment[name] for name in names}),
        "resources": {
            "requests": {"cpu": "1m", "memory": "2Mi"},
            "limits": {"memory": "16Mi"},
        },
        "securityContext": {
            **_RESTRICTED,
            "runAsNonRoot": True,
            "runAsUser": RUNTIME_USER,
            "readOnlyRootFilesystem": True,
        },
    }


def env_list(values: Mapping[str, str]) -> list[Json]:
    """Return variables as a container has them."""
    return [{"name": name, "value": value} for name, value in values.items()]
