"""How the pods of a Function spend their time, and what each of them reserves: what a bill needs.

A pass reads who has requests once a second; pods that come, get ready or go are counted to the
moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from torpor.functions.tracked import Tracked
from torpor.platform.base import Instance
from torpor.resources.names import FunctionKey
from torpor.telemetry import metrics
from torpor.telemetry.cost import Phase

RESOURCES = ("memory_bytes", "vcpus", "gpus")
_COUNTED = (Phase.START, Phase.USEFUL, Phase.IDLE)


def phase_of(instance: Instance, in_flight: Mapping[str, int]) -> Phase:
    """Return what an instance does; `in_flight` counts the requests inside each by name."""
    if in_flight.get(instance.name, 0) > 0:
        return Phase.USEFUL
    return Phase.IDLE if instance.ready or instance.terminating else Phase.START


def phases(instances: Iterable[Instance], in_flight: Mapping[str, int]) -> Mapping[Phase, int]:
    """Return how many instances do what."""
    return Counter(phase_of(instance, in_flight) for instance in instances)


def count(tracked: Tracked, now: float) -> None:
    """Count the time since the last call for this function, in which its instances were these."""
    since, tracked.counted_at = tracked.counted_at, now
    if since is None or not tracked.instances:
        return
    labels = tracked.key.namespace, tracked.key.name
    for phase, pods in phases(tracked.instances, tracked.sample.instances).items():
        metrics.POD_SECONDS.labels(*labels, phase.value).inc(pods * max(0.0, now - since))
    if not tracked.size_told:
        tell_size(tracked.key, tracked.size)
        tracked.size_told = True


def tell_size(key: FunctionKey, size: Mapping[str, float]) -> None:
    """Tell what each pod of a function reserves, by the names of `RESOURCES`."""
    for resource, value in size.items():
        metrics.POD_SIZE.labels(key.namespace, key.name, resource).set(value)


def forget(key: FunctionKey) -> None:
    """Take the series of a function that was deleted out of the metrics."""
    labels = key.namespace, key.name
    for phase in _COUNTED:
        metrics.POD_SECONDS.labels(*labels, phase.value)  # remove() raises for one that never was
        metrics.POD_SECONDS.remove(*labels, phase.value)
    for resource in RESOURCES:
        metrics.POD_SIZE.labels(*labels, resource)
        metrics.POD_SIZE.remove(*labels, resource)
