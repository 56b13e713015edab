"""Which gateway pods there are, and where: a gateway's peers, the autoscaler's sources.

The two want different pods. A peer is a gateway that was ready: one that is not yet, or never will
be, gets no requests, so none may be waiting for it. A gateway that is leaving gets no more from its
peers, but it finishes those that it has: the autoscaler asks it until it is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
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

    `killed_at` is when the kubelet ends it at the latest; None unless it is leaving. `never_ready`
    while its containers, as they run now, were not seen ready: then nobody sends to it.
    """

    address: str
    killed_at: datetime | None = None
    never_ready: bool = False


@dataclass(frozen=True, slots=True)
class _Seen:
    """One state of a gateway's pod; another `life` is another pod or a container begun anew."""

    life: tuple[str, int]
    pod: GatewayPod
    ready: bool

    @property
    def is_peer(self) -> bool:
        return self.ready if self.pod.killed_at else not self.pod.never_ready


class _GatewayReflector(Reflector[_Seen]):
    """The gateways' pods, with what is remembered of each."""

    def __init__(
        self, api: KubernetesApi, namespace: str, changed: Callable[[], None] = lambda: None
    ) -> None:
        def on_change(_key: ObjectKey, old: _Seen | None, new: _Seen | None) -> None:
            if old != new:
                changed()

        super().__init__(api, Selection(PODS, namespace, GATEWAY_LABELS), self._keep, on_change)

    def _keep(self, pod: Mapping[str, Any]) -> _Seen | None:
        meta = pod["metadata"]
        return _seen(pod, self.get(meta["namespace"], meta["name"]))


class GatewayPods:
    """Every gateway that may have requests inside, while `run` runs."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.reflector = _GatewayReflector(api, namespace)

    def at(self, now: datetime) -> Mapping[str, GatewayPod]:
        """Return the gateways by pod name.

        A pod counts from the moment it has an address until it is deleted or has ended. A node
        that is lost never says so: its pods count no longer than their grace period and `OVERDUE`.
        """
        return {
            key.name: seen.pod
            for key, seen in self.reflector.items().items()
            if seen.pod.killed_at is None or now < seen.pod.killed_at + OVERDUE
        }


async def watch_gateway_pods(
    api: KubernetesApi, namespace: str
) -> AsyncGenerator[Mapping[str, str]]:
    """Yield pod name -> IP of a gateway's peers whenever that changes, first once all are known.

    A pod counts from the moment it is ready, and goes on when it is not for a while: it has
    requests inside. One whose container begins anew counts when that is ready; one that is
    leaving, while it is ready.
    """
    changed = asyncio.Event()
    pods = _GatewayReflector(api, namespace, changed.set)
    task = asyncio.create_task(pods.run(), name="reflect gateway pods")
    try:
        await _first(pods.synced, task)
        told: Mapping[str, str] | None = None
        while True:
            changed.clear()
            now = {key.name: seen.pod.address for key, seen in pods.items().items() if seen.is_peer}
            if now != told:
                told = now
                yield now
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


def _seen(pod: Mapping[str, Any], before: _Seen | None) -> _Seen | None:
    status = pod.get("status") or {}
    address = status.get("podIP")
    if not address or status.get("phase") in ("Succeeded", "Failed"):
        return None
    # It is the time at which the grace period ends, not the one at which it began.
    leaves = pod["metadata"].get("deletionTimestamp")
    killed_at = datetime.fromisoformat(leaves) if leaves else None
    life, ready = (pod["metadata"].get("uid", ""), _restarts(status)), _ready(status)
    was_ready = before is not None and before.life == life and not before.pod.never_ready
    return _Seen(life, GatewayPod(address, killed_at, not (ready or was_ready)), ready)


def _restarts(status: Mapping[str, Any]) -> int:
    return sum(int(item.get("restartCount", 0)) for item in status.get("containerStatuses") or ())


def _ready(status: Mapping[str, Any]) -> bool:
    conditions = status.get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
