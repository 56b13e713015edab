"""What the containers of all Functions have in common: what they may not do, their words. Pure.

Pods meet the "restricted" Pod Security Standard, so an image must name a numeric user other than
root.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.functions import mounts
from torpor.resources.function import Function

Json = dict[str, Any]

RUNTIME_USER = 65532
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
WRITES_NOTHING: Mapping[str, Any] = {**RESTRICTED, "readOnlyRootFilesystem": True}


def pod_security(function: Function) -> Json:
    """Return who the pod's processes run as."""
    user = {"runAsUser": RUNTIME_USER} if function.runtime else {}
    return {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        **user,
        **mounts.security(function, RUNTIME_USER),
    }


def container_security(function: Function) -> Mapping[str, Any]:
    """Return what the function's container may not do; that of a run writes to volumes alone."""
    return WRITES_NOTHING if function.job is not None else RESTRICTED


def env_list(values: Mapping[str, str]) -> list[Json]:
    """Return variables as a container has them."""
    return [{"name": name, "value": value} for name, value in values.items()]
