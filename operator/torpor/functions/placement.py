"""Where a Function's pods may run and what they get of a node: GPUs, and apart from one another.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torpor.resources.function import Function
from torpor.resources.instance import GPU_RESOURCE

Json = dict[str, Any]

GPU_PRODUCT = "nvidia.com/gpu.product"
"""The node's label, set by NVIDIA's GPU feature discovery."""
GPU_TAINT = {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}
"""What pods tolerate that are to run on nodes which are kept for GPUs."""
_MOST_WEIGHT = 100
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
    return {"nodeAffinity": _one_of(function.gpu.products)}


def ordered_affinity(products: Sequence[str]) -> Json:
    """Return that the node must have one of these GPUs, and which is liked better; {} for any.

    Each is liked half as much as the one before: the scheduler adds other points of its own.
    """
    if not products:
        return {}
    preferred = [
        {"weight": max(1, _MOST_WEIGHT >> place), "preference": _nodes_with([product])}
        for place, product in enumerate(products)
    ]
    better = {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
    return {"nodeAffinity": {**_one_of(products), **(better if len(products) > 1 else {})}}


def product_selector(products: Sequence[str]) -> str:
    """Return the labels of nodes with one of these GPUs, as a list of nodes is asked for."""
    return f"{GPU_PRODUCT} in ({','.join(products)})" if products else ""


def _one_of(products: Sequence[str]) -> Json:
    terms = {"nodeSelectorTerms": [_nodes_with(products)]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": terms}


def _nodes_with(products: Sequence[str]) -> Json:
    wanted = {"key": GPU_PRODUCT, "operator": "In", "values": list(products)}
    return {"matchExpressions": [wanted]}


def tolerations(function: Function) -> list[Json]:
    """Return the user's, and with a GPU that of the taint which keeps others off such nodes."""
    given = [dict(item) for item in function.tolerations]
    taint = dict(GPU_TAINT)
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
