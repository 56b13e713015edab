"""The Kubernetes API as Torpor uses it: connect, read, watch, write, lead, work off, report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from torpor.platform.kubernetes.client import KubernetesApi, Page, Selection, WatchEvent
from torpor.platform.kubernetes.config import Access, find_access, from_kubeconfig
from torpor.platform.kubernetes.lease import Lease, LeaseLost, Timing
from torpor.platform.kubernetes.members import GatewayPod, GatewayPods, watch_gateway_pods
from torpor.platform.kubernetes.platform import KubernetesPlatform, SharedPlatform
from torpor.platform.kubernetes.recorder import EventType, Recorder
from torpor.platform.kubernetes.reflector import ObjectKey, Reflector
from torpor.platform.kubernetes.resources import Resource
from torpor.platform.kubernetes.secret import ensure_key, wait_for_key
from torpor.platform.kubernetes.transport import Limits, Transport
from torpor.platform.kubernetes.workqueue import WorkQueue
from torpor.settings import Settings

LIMITS = Limits()

__all__ = [
    "Access",
    "EventType",
    "GatewayPod",
    "GatewayPods",
    "KubernetesApi",
    "KubernetesPlatform",
    "Lease",
    "LeaseLost",
    "Limits",
    "ObjectKey",
    "Page",
    "Recorder",
    "Reflector",
    "Resource",
    "Selection",
    "SharedPlatform",
    "Timing",
    "WatchEvent",
    "WorkQueue",
    "connect",
    "ensure_key",
    "find_access",
    "from_kubeconfig",
    "wait_for_key",
    "watch_gateway_pods",
]


@asynccontextmanager
async def connect(
    settings: Settings | None = None, *, access: Access | None = None, limits: Limits = LIMITS
) -> AsyncIterator[KubernetesApi]:
    """Yield the API that `access` leads to: by default this pod's, else the kubeconfig's.

    With `settings`, the API server's audit log tells the pods apart. Raises NoCluster when there
    is no access.
    """
    agent = f"torpor/{settings.pod_name}" if settings and settings.pod_name else "torpor"
    transport = Transport(access or find_access(), limits, agent=agent)
    try:
        yield KubernetesApi(transport)
    finally:
        await transport.close()
