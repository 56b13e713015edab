"""What the leader tells of the time of Functions' pods: what a bill is made of."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from torpor.telemetry.metrics.registry import FUNCTION, REGISTRY

POD_SECONDS = Counter(
    "torpor_function_pod_seconds",
    "How long a Function's pods were there, by what for: start (not ready yet), useful (with a "
    "request inside), idle.",
    (*FUNCTION, "phase"),
    registry=REGISTRY,
)
POD_SIZE = Gauge(
    "torpor_function_pod_size",
    "What a pod of a Function reserves, by resource: memory_bytes, vcpus, gpus.",
    (*FUNCTION, "resource"),
    registry=REGISTRY,
)
