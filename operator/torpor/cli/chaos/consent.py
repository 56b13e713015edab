"""Who agrees that something of a cluster is broken: its namespace, or the person who asks."""

from __future__ import annotations

import sys

from torpor.cli.cluster import Cluster
from torpor.cli.options import BadOption
from torpor.errors import ApiError, TorporError
from torpor.platform.kubernetes.resources import NAMESPACES
from torpor.resources.names import GROUP

LABEL = f"{GROUP}/chaos"
ALLOWED = "allowed"


class NotAgreed(TorporError):
    """Nobody agreed, so nothing was done."""

    code = "not-agreed"


async def agreed(api: Cluster, namespace: str, yes: bool, task: str) -> None:
    """Return if this may be done in a namespace; NotAgreed, BadOption."""
    if yes or await _is_labelled(api, namespace):
        return
    if not sys.stdin.isatty():
        raise BadOption(
            f"the namespace {namespace} does not agree: "
            f"kubectl label namespace {namespace} {LABEL}={ALLOWED}, or --yes"
        )
    print(f"{task}, on this cluster? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise NotAgreed("nothing is done")


async def _is_labelled(api: Cluster, namespace: str) -> bool:
    try:
        found = await api.get(NAMESPACES.path("", namespace))
    except ApiError:  # who may not look at a namespace can still say --yes
        return False
    labels = found["metadata"].get("labels") or {}
    return bool(labels.get(LABEL) == ALLOWED)
