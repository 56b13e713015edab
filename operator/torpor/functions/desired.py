"""What a Function becomes: a Deployment, a Service to the gateway, a NetworkPolicy. Pure.

`spec.replicas` is in none of the objects: whoever scales owns it, through `/scale`. Pods meet the
"restricted" Pod Security Standard, so an image must name a numeric user other than root.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.errors import TorporError
from torpor.resources.function import Function
from torpor.resources.names import (
    ANNOTATION_CODE_VERSION,
    ANNOTATION_DESIRED,
    API_VERSION,
    CONTAINER_ANNOUNCER,
    CONTAINER_FUNCTION,
    GROUP,
    LABEL_COMPONENT,
    LABEL_FUNCTION,
    LABEL_MANAGED_BY,
    MANAGED_BY,
    MANAGER_AUTOSCALER,
)
from torpor.settings import ControllerSettings

Json = dict[str, Any]

ANNOTATION_REPLICAS_OWNER = f"{GROUP}/replicas-owner"
"""On a Deployment whose `spec.replicas` belongs to whoever scales, so that an apply without it
leaves it alone."""
COMPONENT_FUNCTION = "function"
COMPONENT_GATEWAY = "gateway"
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


@dataclass(frozen=True, slots=True)
class Children:
    """The objects of one Function, each with the hash of itself in an annotation."""

    deployment: Json
    service: Json
    network_policy: Json

    def all(self) -> tuple[Json, ...]:
        """Return them in the order in which they are applied."""
        return (self.network_policy, self.service, self.deployment)


def children(
    function: Function, settings: ControllerSettings, token: str, code_version: str | None
) -> Children:
    """Return the children of `function`; UnknownRuntime if no image is known for its runtime.

    `token` is what its instances announce themselves with; `code_version` names the state of the
    code's ConfigMap, so that pods are replaced when it changes.
    """
    return Children(
        deployment=_sealed(_deployment(function, settings, token, code_version)),
        service=_sealed(_service(function, settings)),
        network_policy=_sealed(_network_policy(function, settings)),
    )


def selector(function: Function) -> dict[str, str]:
    """Return the labels by which the pods of a function are found in its namespace."""
    return {LABEL_FUNCTION: function.key.name, LABEL_MANAGED_BY: MANAGED_BY}


def first_replicas(function: Function) -> int:
    """Return the replicas that the Deployment is created with."""
    return max(function.scaling.initial_replicas, function.scaling.min_replicas)


def newborn(deployment: Json, replicas: int) -> Json:
    """Return the Deployment as it is created: the only time that replicas are in it."""
    return {**deployment, "spec": {**deployment["spec"], "replicas": replicas}}


def replicas_claim(deployment: Json, replicas: int | None) -> Json:
    """Return what the autoscaler applies in its own name to become an owner of the replicas.

    Server-side apply takes a field away that its last owner no longer names: without this, the
    first apply after the creation would set the replicas back to their default of 1. None claims
    only in name, for when whoever scaled last owns the field already.
    """
    meta = deployment["metadata"]
    return {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "metadata": {
            "name": meta["name"],
            "namespace": meta["namespace"],
            "annotations": {ANNOTATION_REPLICAS_OWNER: MANAGER_AUTOSCALER},
        },
        **({} if replicas is None else {"spec": {"replicas": replicas}}),
    }


def digest(value: object) -> str:
    """Return a short hash of a JSON value that does not depend on the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _sealed(child: Json) -> Json:
    child["metadata"]["annotations"] = {ANNOTATION_DESIRED: digest(child)}
    return child


def _metadata(function: Function) -> Json:
    return {
        "name": function.key.name,
        "namespace": function.key.namespace,
        "labels": {**selector(function), LABEL_COMPONENT: COMPONENT_FUNCTION},
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "Function",
                "name": function.key.name,
                "uid": function.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def _service(function: Function, settings: ControllerSettings) -> Json:
    """Return the name that leads to the gateway from inside the cluster, at no further hop."""
    gateway = f"torpor-gateway.{settings.namespace}.svc.{settings.cluster_domain}"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(function),
        "spec": {"type": "ExternalName", "externalName": gateway},
    }


def _network_policy(function: Function, settings: ControllerSettings) -> Json:
    gateways = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.namespace}},
        "podSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "torpor",
                LABEL_COMPONENT: COMPONENT_GATEWAY,
            }
        },
    }
    port = {"protocol": "TCP", "port": function.port}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(function),
        "spec": {
            "podSelector": {"matchLabels": selector(function)},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [gateways], "ports": [port]}],
        },
    }


def _deployment(
    function: Function, settings: ControllerSettings, token: str, code_version: str | None
) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(function),
        "spec": {
            "selector": {"matchLabels": selector(function)},
            "revisionHistoryLimit": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {
                    "labels": {**selector(function), LABEL_COMPONENT: COMPONENT_FUNCTION},
                    "annotations": _template_annotations(code_version),
                },
                "spec": _pod(function, settings, token),
            },
        },
    }


def _template_annotations(code_version: str | None) -> dict[str, str]:
    annotations = {"kubectl.kubernetes.io/default-container": CONTAINER_FUNCTION}
    if code_version is not None:
        annotations[ANNOTATION_CODE_VERSION] = code_version
    return annotations


def _pod(function: Function, settings: ControllerSettings, token: str) -> Json:
    environment = _torpor_environment(function, settings, token)
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
    function: Function, settings: ControllerSettings, token: str
) -> dict[str, str]:
    host = f"torpor-gateway-internal.{settings.namespace}.svc.{settings.cluster_domain}."
    return {
        "PORT": str(function.port),
        "TORPOR_FUNCTION": str(function.key),
        "TORPOR_ANNOUNCE_URL": f"http://{host}:{settings.internal_port}/v1/announce",
        "TORPOR_ANNOUNCE_TOKEN": token,
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
    own = {"TORPOR_HANDLER": function.handler or ""}
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
