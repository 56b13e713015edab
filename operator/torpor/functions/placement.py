"""Where a Function's pods may run and what they get of a node: GPUs, and apart from one another.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.resources.function import Function
from torpor.resources.instance import GPU_RESOURCE

Json = dict[str, Any]

_GPU_PRODUCT = "nvidia.com/gpu.product"
"""The node's label, set by NVIDIA's GPU feature discovery."""
_SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def resources(function: Function) -> Json:
    """Return the container's resources; a GPU is a limit, which Kubernetes requests as well."""
    if function.gpu is None:
        return dict(function.resources)
    limits = function.resources.get("limits") or {}
    return {**function.resources, "limits": {**limits, GPU_RESOURCE: function.gpu.count}}


def affinity(function: Function) -> Json:
    """Return that the node must have one of the GPUs that are asked for by name."""
    if function.gpu is None or not function.gpu.products:
        return {}
    wanted = {"key": _GPU_PRODUCT, "operator": "In", "values": list(function.gpu.products)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def tolerations(function: Function) -> list[Json]:
    """Return the user's, and with a GPU that of the taint which keeps others off such nodes."""
    given = [dict(item) for item in function.tolerations]
    taint = {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}
    return [*given, taint] if function.gpu and taint not in given else given


def spread(selector: Mapping[str, str]) -> list[Json]:
    """Return that several pods prefer to be in several zones and on several nodes.

    A preference: what finds no other place runs where there is one. Only pods of the same template
    are counted, so that those on their way out move nobody.
    """
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": dict(selector)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in _SPREAD_OVER
    ]
