"""The pods of a Function: its container, what Torpor adds to it, and who they run as. Pure.

Pods meet the "restricted" Pod Security Standard, so an image must name a numeric user other than
root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.errors import TorporError
from torpor.resources.function import Function
from torpor.resources.names import (
    ANNOTATION_CODE_VERSION,
    CONTAINER_ANNOUNCER,
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
CODE_DIRECTORY = "/var/torpor/code"
RUNTIME_USER = 65532
DRAIN_SECONDS = 2
"""How long a pod that is to go serves on, so that every gateway has taken it out by then."""
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

    `tokens` and `code_version` are as in `desired.children`.
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
        "tolerations": [dict(item) for item in function.tolerations],
        "volumes": _volumes(function),
    }
    first = [_announcer(settings, environment)] if announces(function) else []
    return {
        "containers": [*first, container],
        "securityContext": _pod_security(function),
        "automountServiceAccountToken": function.service_account_name is not None,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": function.timeout_seconds + GRACE_SECONDS,
        **{name: value for name, value in optional.items() if value},
    }


def announces(function: Function) -> bool:
    """Return whether the pod has an announcer; runtimes announce themselves."""
    return function.image is not None and function.announcer


def _pod_security(function: Function) -> Json:
    user = {"runAsUser": RUNTIME_USER} if function.runtime else {}
    return {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}, **user}


def _container_security(function: Function) -> Json:
    return {**_RESTRICTED, **({"readOnlyRootFilesystem": True} if function.runtime else {})}


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
        "env": [*_env(environment), *(dict(item) for item in function.env)],
        "ports": [{"name": "http", "containerPort": function.port, "protocol": "TCP"}],
        "securityContext": _container_security(function),
        "readinessProbe": {"tcpSocket": {"port": function.port}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }
    optional: Json = {
        "command": list(function.command),
        "args": list(function.args),
        "envFrom": [dict(item) for item in function.env_from],
        "resources": dict(function.resources),
    }
    container |= {name: value for name, value in optional.items() if value}
    return container | _runtime(function, settings, container["env"])


def _runtime(function: Function, settings: ControllerSettings, env: list[Json]) -> Json:
    """Return what a runtime's container has besides or instead of an image's."""
    if function.runtime is None:
        return {}
    image = settings.runtime_images.get(function.runtime)
    if image is None:
        raise UnknownRuntime(function.runtime, tuple(sorted(settings.runtime_images)))
    mounts: list[Json] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - the pod's own
    own = {
        "TORPOR_HANDLER": function.handler or "",
        "TORPOR_CONCURRENCY_LIMIT": str(function.scaling.concurrency.limit),
    }
    if function.code and function.code.inline is not None:
        # The kubelet replaces $(NAME) and $$ in values; $$ is how a $ stays one.
        own["TORPOR_CODE"] = function.code.inline.replace("$", "$$")
    else:
        mounts.append({"name": "code", "mountPath": CODE_DIRECTORY, "readOnly": True})
    return {
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": [*_env(own), *env],
        "volumeMounts": mounts,
    }


def _volumes(function: Function) -> list[Json]:
    if function.runtime is None:
        return []
    volumes: list[Json] = [{"name": "tmp", "emptyDir": {}}]
    if function.code and function.code.config_map is not None:
        volumes.append({"name": "code", "configMap": {"name": function.code.config_map}})
    return volumes


def _announcer(settings: ControllerSettings, environment: Mapping[str, str]) -> Json:
    names = ("PORT", "TORPOR_FUNCTION", "TORPOR_ANNOUNCE_URL", "TORPOR_ANNOUNCE_TOKEN")
    return {
        "name": CONTAINER_ANNOUNCER,
        "image": settings.announcer_image,
        "imagePullPolicy": settings.image_pull_policy,
        "env": _env({name: environment[name] for name in names}),
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


def _env(values: Mapping[str, str]) -> list[Json]:
    return [{"name": name, "value": value} for name, value in values.items()]
