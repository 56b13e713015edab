"""What a Function becomes: a Deployment, a Service to the gateway, a NetworkPolicy. Pure.

`spec.replicas` is in none of the objects: whoever scales owns it, through `/scale`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torpor.functions.code import CodeState
from torpor.functions.digest import digest
from torpor.functions.pod_template import labels, pod_template, selector
from torpor.functions.runs.template import PROGRESS_PORT
from torpor.functions.runtime_container import runtime_image
from torpor.resources.function import Function
from torpor.resources.names import (
    ANNOTATION_DESIRED,
    API_VERSION,
    GROUP,
    LABEL_COMPONENT,
    LABEL_RUN_OF,
    MANAGER_AUTOSCALER,
)
from torpor.resources.tokens import InstanceTokens
from torpor.settings import ControllerSettings

Json = dict[str, Any]

ANNOTATION_REPLICAS_OWNER = f"{GROUP}/replicas-owner"
"""On a Deployment whose `spec.replicas` belongs to whoever scales, so that an apply without it
leaves it alone."""
COMPONENT_GATEWAY = "gateway"
COMPONENT_CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Children:
    """The objects of one Function, each with the hash of itself in an annotation."""

    deployment: Json
    service: Json
    network_policy: Json


def children(
    function: Function,
    settings: ControllerSettings,
    tokens: InstanceTokens,
    code: CodeState | None,
) -> Children:
    """Return the children of `function`; UnknownRuntime if no image is known for its runtime.

    `tokens` are those of its instances; `code` is its ConfigMap's, so that pods are replaced when
    what is in that changes.
    """
    return Children(
        deployment=_sealed(_deployment(function, settings, tokens, code)),
        service=_sealed(_service(function, settings)),
        network_policy=_sealed(_network_policy(function, settings)),
    )


def run_children(function: Function, settings: ControllerSettings) -> tuple[Json, Json]:
    """Return the NetworkPolicy and the Service of a Job Function, whose runs have no owner.

    UnknownRuntime if no image is known for its runtime.
    """
    if function.runtime is not None:
        runtime_image(function.runtime, settings)
    pods = {LABEL_RUN_OF: function.key.name}
    asked = _ingress(COMPONENT_CONTROLLER, PROGRESS_PORT, settings)
    return _sealed(_policy(function, pods, asked)), _sealed(_service(function, settings))


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


def _sealed(child: Json) -> Json:
    annotations = child["metadata"].get("annotations", {})
    child["metadata"]["annotations"] = {**annotations, ANNOTATION_DESIRED: digest(child)}
    return child


def _metadata(function: Function) -> Json:
    return {
        "name": function.key.name,
        "namespace": function.key.namespace,
        "labels": labels(function),
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
    return _policy(
        function, selector(function), _ingress(COMPONENT_GATEWAY, function.port, settings)
    )


def _policy(function: Function, pods: Mapping[str, str], ingress: Json) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(function),
        "spec": {
            "podSelector": {"matchLabels": dict(pods)},
            "policyTypes": ["Ingress"],
            "ingress": [ingress],
        },
    }


def _ingress(component: str, port: int, settings: ControllerSettings) -> Json:
    """Return that one of Torpor's own roles may come in at a port."""
    allowed = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": settings.namespace}},
        "podSelector": {
            "matchLabels": {"app.kubernetes.io/name": "torpor", LABEL_COMPONENT: component}
        },
    }
    return {"from": [allowed], "ports": [{"protocol": "TCP", "port": port}]}


def _deployment(
    function: Function,
    settings: ControllerSettings,
    tokens: InstanceTokens,
    code: CodeState | None,
) -> Json:
    seen = {"annotations": code.annotations()} if code else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**_metadata(function), **seen},
        "spec": {
            "selector": {"matchLabels": selector(function)},
            "revisionHistoryLimit": 0,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": pod_template(function, settings, tokens, code),
        },
    }
