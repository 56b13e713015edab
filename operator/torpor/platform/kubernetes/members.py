"""Which gateway pods there are, and where: a gateway's peers, the autoscaler's sources."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import PODS

GATEWAY_LABELS = "app.kubernetes.io/name=torpor,app.kubernetes.io/component=gateway"


async def watch_gateway_pods(
    api: KubernetesApi, namespace: str
) -> AsyncGenerator[Mapping[str, str]]:
    """Yield pod name -> IP of all gateways whenever that changes, first once the list is known.

    A pod counts from the moment it has an address until it is deleted or has ended: one that is
    terminating still has requests inside, so it is still asked for its load while it is ready.
    """
    changed = asyncio.Event()

    def on_change(_key: ObjectKey, old: str | None, new: str | None) -> None:
        if old != new:
            changed.set()

    pods = Reflector(api, Selection(PODS, namespace, GATEWAY_LABELS), _address, on_change)
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


def _address(pod: Mapping[str, Any]) -> str | None:
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return None
    if "deletionTimestamp" in pod["metadata"] and not _ready(status):
        return None
    return status.get("podIP") or None


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
