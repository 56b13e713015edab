"""The pods of a Function: its container, and what Torpor adds to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.functions import mounts, placement
from torpor.functions.code import CodeState, as_variables
from torpor.functions.containers import (
    RUNTIME_USER,
    WRITES_NOTHING,
    container_security,
    env_list,
    pod_security,
)
from torpor.functions.runtime_container import fetcher, runtime_container
from torpor.resources.function import Function
from torpor.resources.instance import Probe
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
DRAIN_SECONDS = 2
"""How long a pod that is to go serves on, so that every gateway has taken it out by then."""
GRACE_SECONDS = 5
"""What a pod gets beyond the function's own time-out to finish its requests."""


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
    code: CodeState | None,
) -> Json:
    """Return the template of the pods; UnknownRuntime if no image is known for the runtime.

    `tokens` are as in `desired.children`; `code` is what the code's ConfigMap is like.
    """
    return {
        "metadata": {
            "labels": labels(function),
            "annotations": _template_annotations(code),
        },
        "spec": _pod(function, settings, tokens, code),
    }


def _template_annotations(code: CodeState | None) -> dict[str, str]:
    annotations = {"kubectl.kubernetes.io/default-container": CONTAINER_FUNCTION}
    if code is not None:
        annotations[ANNOTATION_CODE_VERSION] = code.version
    return annotations


def _pod(
    function: Function,
    settings: ControllerSettings,
    tokens: InstanceTokens,
    code: CodeState | None,
) -> Json:
    environment = _torpor_environment(function, settings, tokens)
    container = _container(function, settings, environment, code)
    optional = {
        "serviceAccountName": function.service_account_name,
        "imagePullSecrets": [dict(item) for item in function.image_pull_secrets],
        "nodeSelector": dict(function.node_selector),
        "affinity": placement.affinity(function),
        "tolerations": placement.tolerations(function),
        "topologySpreadConstraints": placement.spread(selector(function)),
        "volumes": mounts.volumes(function, code),
        "initContainers": fetcher(function, settings),
    }
    announcer = [_announcer(settings, environment)] if announces(function) else []
    return {
        "containers": [container, *announcer],  # in this order: the server starts meanwhile
        "securityContext": pod_security(function),
        "automountServiceAccountToken": function.service_account_name is not None,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": function.timeout_seconds + GRACE_SECONDS,
        **{name: value for name, value in optional.items() if value},
    }


def announces(function: Function) -> bool:
    """Return whether the pod has an announcer; runtimes announce themselves."""
    return function.image is not None and function.announcer


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


def telling(function: Function, settings: ControllerSettings) -> dict[str, str]:
    """Return what says where spans go, as far as the Function does not say so itself."""
    if not settings.function_otlp_endpoint:
        return {}
    found = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.function_otlp_endpoint,
        "OTEL_SERVICE_NAME": str(function.key),
    }
    own = {item.get("name") for item in function.env}
    return {name: text for name, text in found.items() if name not in own}


def _container(
    function: Function,
    settings: ControllerSettings,
    environment: Mapping[str, str],
    code: CodeState | None,
) -> Json:
    container: Json = {
        "name": CONTAINER_FUNCTION,
        "image": function.image,
        "env": [
            *env_list({**environment, **telling(function, settings)}),
            *(dict(item) for item in function.env),
        ],
        "ports": [{"name": "http", "containerPort": function.port, "protocol": "TCP"}],
        "securityContext": dict(container_security(function)),
        "readinessProbe": {"periodSeconds": 1, **_probe(function.readiness_probe, function.port)},
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    }
    optional: Json = {
        "command": list(function.command),
        "args": list(function.args),
        # Of two variables of one name the last one counts.
        "envFrom": [*(dict(item) for item in function.env_from), *_files(function, code)],
        "resources": placement.resources(function),
        "livenessProbe": function.liveness_probe and _probe(function.liveness_probe, function.port),
        "volumeMounts": mounts.mounts(function, code),
    }
    container |= {name: value for name, value in optional.items() if value}
    return container | _runtime(function, settings, container["env"])


def _files(function: Function, code: CodeState | None) -> list[Json]:
    """Return what gives a runtime the files of its code, if they are small enough for that."""
    name = function.code.config_map if function.code else None
    return [as_variables(name)] if name is not None and code and code.is_small else []


def _runtime(function: Function, settings: ControllerSettings, env: list[Json]) -> Json:
    """Return what a runtime's container has besides or instead of an image's."""
    if function.runtime is None:
        return {}
    return runtime_container(function, settings, env)


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
            **WRITES_NOTHING,
            "runAsNonRoot": True,
            "runAsUser": RUNTIME_USER,
        },
    }
