"""Torpor's own pods: the gateways whose load counts, and the metrics that the bill is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from torpor.dashboard.sources import Away
from torpor.platform.kubernetes import GatewayPod, KubernetesApi, Selection
from torpor.platform.kubernetes.resources import PODS
from torpor.resources.names import LABEL_COMPONENT
from torpor.telemetry.bodies import bounded
from torpor.telemetry.cost import ROLES

GATEWAY: Final = "gateway"
_LABELS: Final = f"app.kubernetes.io/name=torpor,{LABEL_COMPONENT} in ({','.join(ROLES)})"
_SCRAPE_SECONDS: Final = 2.0
_MOST_BYTES: Final = 64 << 20
"""Of the metrics of one pod."""
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class RolePod:
    """A pod of a role that has an address and has not ended; `leaving` since it was told to go."""

    name: str
    component: str
    address: str
    leaving: bool = False


async def role_pods(api: KubernetesApi, namespace: str) -> Sequence[RolePod]:
    """Return the pods of the roles that count; an ApiError says why not."""
    page = await api.list(Selection(PODS, namespace, _LABELS))
    return [found for item in page.items if (found := _pod(item)) is not None]


def gateways(pods: Sequence[RolePod]) -> Mapping[str, GatewayPod]:
    """Return the gateways among them, by name."""
    return {pod.name: GatewayPod(pod.address) for pod in pods if pod.component == GATEWAY}


async def scrape(http: aiohttp.ClientSession, pods: Sequence[RolePod], port: int) -> list[str]:
    """Return what each pod's /metrics says; Away names those that stay and do not answer.

    A bill without their share would be too low, and nobody could see it.
    """
    async with asyncio.TaskGroup() as group:
        asked = {
            pod: group.create_task(_metrics(http, pod, port), name=f"metrics of {pod.name}")
            for pod in pods
        }
    told = {pod: task.result() for pod, task in asked.items()}
    silent = [pod.name for pod, text in told.items() if text is None and not pod.leaving]
    if silent:
        raise Away(f"no metrics from {', '.join(sorted(silent)[:_MOST_NAMED])}")
    return [text for text in told.values() if text is not None]


async def _metrics(http: aiohttp.ClientSession, pod: RolePod, port: int) -> str | None:
    """None for a pod that does not answer, or without an end."""
    host = f"[{pod.address}]" if ":" in pod.address else pod.address
    timeout = aiohttp.ClientTimeout(total=_SCRAPE_SECONDS)
    url = f"http://{host}:{port}/metrics"
    try:
        async with http.get(url, timeout=timeout, raise_for_status=True) as answer:
            found = await bounded(answer.content, _MOST_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
    return None if found is None else found.decode(errors="replace")


def _pod(obj: Mapping[str, Any]) -> RolePod | None:
    meta, status = obj["metadata"], obj.get("status") or {}
    address = status.get("podIP")
    if not address or status.get("phase") in ("Succeeded", "Failed"):
        return None
    component = (meta.get("labels") or {}).get(LABEL_COMPONENT, "")
    return RolePod(meta["name"], component, address, "deletionTimestamp" in meta)
