"""Which gateway pods there are, and where: a gateway's peers, the autoscaler's sources.

The two want different pods. A gateway that is leaving gets no more requests from its peers, but it
finishes those that it has: the autoscaler asks it until it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import PODS

GATEWAY_LABELS = "app.kubernetes.io/name=torpor,app.kubernetes.io/component=gateway"
OVERDUE = timedelta(seconds=30)
"""How long after its grace period a pod is believed to live: covers clocks that differ."""


@dataclass(frozen=True, slots=True)
class GatewayPod:
    """A gateway that may have requests inside.

    `killed_at` is when the kubelet ends it at the latest; None unless it is leaving.
    """

    address: str
    killed_at: datetime | None = None


class GatewayPods:
    """Every gateway that may have requests inside, while `run` runs."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        selection = Selection(PODS, namespace, GATEWAY_LABELS)
        self.reflector: Reflector[GatewayPod] = Reflector(api, selection, _pod, _ignore)

    def at(self, now: datetime) -> Mapping[str, GatewayPod]:
        """Return the gateways by pod name.

        A pod counts from the moment it has an address until it is deleted or has ended. A node
        that is lost never says so: its pods count no longer than their grace period and `OVERDUE`.
        """
        return {
            key.name: pod
            for key, pod in self.reflector.items().items()
            if pod.killed_at is None or now < pod.killed_at + OVERDUE
        }


async def watch_gateway_pods(
    api: KubernetesApi, namespace: str
) -> AsyncGenerator[Mapping[str, str]]:
    """Yield pod name -> IP of a gateway's peers whenever that changes, first once all are known.

    A pod counts from the moment it has an address; one that is leaving, while it is ready.
    """
    changed = asyncio.Event()

    def on_change(_key: ObjectKey, old: str | None, new: str | None) -> None:
        if old != new:
            changed.set()

    pods = Reflector(api, Selection(PODS, namespace, GATEWAY_LABELS), _peer, on_change)
    task = asyncio.create_task(pods.run(), name="reflect gateway pods")
    try:
        await _first(pods.synced, task)
        while True:
            changed.clear()
            yield {key.name: address for key, address in pods.items().items()}
            await _first(changed, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(event: asyncio.Event, task: asyncio.Task[None]) -> None:
    waiter = asyncio.create_task(event.wait(), name="gateway pods change")
    try:
        await asyncio.wait([waiter, task], return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
    if task.done():
        task.result()


def _ignore(_key: ObjectKey, _old: GatewayPod | None, _new: GatewayPod | None) -> None:
    """Take no note: the gateways are looked up when they are asked."""


def _pod(pod: Mapping[str, Any]) -> GatewayPod | None:
    status = pod.get("status") or {}
    address = status.get("podIP")
    if not address or status.get("phase") in ("Succeeded", "Failed"):
        return None
    # It is the time at which the grace period ends, not the one at which it began.
    leaves = pod["metadata"].get("deletionTimestamp")
    return GatewayPod(address, datetime.fromisoformat(leaves) if leaves else None)


def _peer(pod: Mapping[str, Any]) -> str | None:
    found = _pod(pod)
    if found is None or (found.killed_at and not _ready(pod["status"])):
        return None
    return found.address


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
