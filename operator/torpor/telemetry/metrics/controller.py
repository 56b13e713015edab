"""What controllers tell: the Kubernetes API, the work queue, the leader that scales."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from torpor.telemetry.metrics.registry import FUNCTION, REGISTRY, SECONDS

API_REQUESTS = Counter(
    "torpor_api_requests", "Calls to the Kubernetes API.", ("verb", "code"), registry=REGISTRY
)
API_SECONDS = Histogram(
    "torpor_api_request_seconds",
    "How long calls to the Kubernetes API took, watches left out.",
    ("verb",),
    buckets=SECONDS,
    registry=REGISTRY,
)
WATCH_RESTARTS = Counter(
    "torpor_watch_restarts",
    "Watches that ended and began again.",
    ("resource", "cause"),
    registry=REGISTRY,
)
QUEUE_DEPTH = Gauge("torpor_workqueue_depth", "Keys that wait for a worker.", registry=REGISTRY)
QUEUE_SECONDS = Histogram(
    "torpor_workqueue_wait_seconds", "From enqueued to taken.", buckets=SECONDS, registry=REGISTRY
)
QUEUE_RETRIES = Counter("torpor_workqueue_retries", "Keys tried again.", registry=REGISTRY)
RECONCILES = Counter(
    "torpor_reconciles", "Reconciles by result: ok, requeue, error.", ("result",), registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "torpor_reconcile_seconds", "How long a reconcile took.", buckets=SECONDS, registry=REGISTRY
)
LEADER = Gauge("torpor_leader", "1 while this replica holds the Lease.", registry=REGISTRY)
DECISIONS = Counter(
    "torpor_scaling_decisions",
    "Changes of replicas by direction: up, down, zero, aborted.",
    ("direction",),
    registry=REGISTRY,
)
DESIRED_REPLICAS = Gauge(
    "torpor_function_desired_replicas", "Replicas last asked for.", FUNCTION, registry=REGISTRY
)
AUTOSCALER_SECONDS = Histogram(
    "torpor_autoscaler_tick_seconds",
    "How long one pass over all awake functions took.",
    buckets=SECONDS,
    registry=REGISTRY,
)
GATEWAYS_SILENT = Gauge(
    "torpor_autoscaler_silent_gateways",
    "Gateways that did not answer the last pull.",
    registry=REGISTRY,
)
