"""Whether a run gets the GPU that its Function asks for, decided when it is started.

Kubernetes cannot turn a pod that waits for a GPU into one that needs none, and making a Job anew
under its name could lose it. So with `fallback: cpu` it is asked first which nodes there are.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torpor.errors import ApiError
from torpor.functions.placement import product_selector
from torpor.functions.runs.job import Device
from torpor.platform.kubernetes.client import KubernetesApi, Selection
from torpor.platform.kubernetes.resources import NODES
from torpor.resources.job import Fallback, JobGpu

LOG = logging.getLogger(__name__)
TRUST_SECONDS = 15.0
"""How long an answer holds: the nodes of a large cluster are many megabytes."""
_GPU = Device()


class Devices:
    """Looks at the cluster's nodes, only where a Function may do without a GPU, and now and then.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, api: KubernetesApi, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._lock = asyncio.Lock()
        self._known: dict[JobGpu, tuple[float, Device]] = {}

    async def choose(self, gpu: JobGpu | None) -> Device:
        """Return what the run's pods get; a GPU also where the nodes cannot be looked at."""
        if gpu is None or gpu.fallback is Fallback.NONE:
            return _GPU
        async with self._lock:  # those who ask at once are told of one look
            at, device = self._known.get(gpu, (-math.inf, _GPU))
            if self._clock() - at >= TRUST_SECONDS:
                device = await self._look(gpu)
                self._known = {**self._recent(), gpu: (self._clock(), device)}
        return device

    def _recent(self) -> Mapping[JobGpu, tuple[float, Device]]:
        since = self._clock() - TRUST_SECONDS
        return {gpu: (at, device) for gpu, (at, device) in self._known.items() if at > since}

    async def _look(self, gpu: JobGpu) -> Device:
        try:
            found = await self._api.list(Selection(NODES, labels=product_selector(gpu.products)))
        except ApiError as error:
            LOG.warning("the nodes cannot be looked at, so the run asks for a GPU: %s", error)
            return _GPU
        return device_among(found.items, gpu)


def device_among(nodes: Iterable[Mapping[str, Any]], gpu: JobGpu) -> Device:
    """Return what pods get where these are all the nodes with the wanted product."""
    for node in nodes:
        if (node.get("spec") or {}).get("unschedulable"):
            continue
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        if int(allocatable.get(gpu.resource) or 0) >= gpu.count:
            return _GPU
    wanted = " or ".join(gpu.products) or gpu.resource
    return Device(has_gpu=False, reason=f"it runs without a GPU: no node has {wanted}")
