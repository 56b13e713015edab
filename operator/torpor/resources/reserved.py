"""What a pod of a Function reserves of its node, which is what it is paid for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from torpor.resources.function import Function
from torpor.resources.instance import GPU_RESOURCE
from torpor.resources.quantity import quantity

UNSAID_VCPUS = Decimal("0.1")
UNSAID_MEMORY_BYTES = Decimal(128 << 20)
"""What a pod that asks for nothing is taken to reserve: its node gives it what is left over."""
_MOST = Decimal((1 << 63) - 1)
"""Kubernetes takes a larger quantity for this one."""


def reserved(function: Function) -> dict[str, float]:
    """Return `memory_bytes`, `vcpus` and `gpus` of a Function's pod.

    A request counts, else the limit, which Kubernetes takes for the request then.
    """
    gpu = function.job.gpu if function.job else function.gpu
    requests = _part(function.resources, "requests")
    limits = _part(function.resources, "limits")
    asked = {**limits, **requests}
    gpus = Decimal(gpu.count) if gpu else _amount(asked, GPU_RESOURCE, Decimal(0))
    return {
        "memory_bytes": float(_amount(asked, "memory", UNSAID_MEMORY_BYTES)),
        "vcpus": float(_amount(asked, "cpu", UNSAID_VCPUS)),
        "gpus": float(gpus),
    }


def _part(resources: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = resources.get(name)
    return found if isinstance(found, Mapping) else {}


def _amount(asked: Mapping[str, Any], name: str, unsaid: Decimal) -> Decimal:
    try:
        return min(_MOST, quantity(asked[name]))
    except (KeyError, ValueError):  # an API server refuses what is no quantity
        return unsaid
