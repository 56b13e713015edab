"""What gateways tell of requests, wakes and their data plane."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from torpor.telemetry.metrics.registry import FUNCTION, REGISTRY

REQUESTS = Counter(
    "torpor_gateway_requests", "Requests forwarded to a function.", FUNCTION, registry=REGISTRY
)
REQUEST_SECONDS = Counter(
    "torpor_gateway_request_seconds",
    "How long requests were inside instances, all together: a reading of those in flight, five "
    "times a second, times the time since the one before.",
    FUNCTION,
    registry=REGISTRY,
)
REFUSED = Counter(
    "torpor_gateway_refused",
    "Requests answered by the gateway itself, by problem code.",
    ("code",),
    registry=REGISTRY,
)
LAMBDA_REFUSED = Counter(
    "torpor_lambda_api_refused",
    "Calls of the Lambda API that were answered by an error of the API, by its code.",
    ("code",),
    registry=REGISTRY,
)
IN_FLIGHT = Gauge(
    "torpor_gateway_in_flight", "Requests inside instances.", FUNCTION, registry=REGISTRY
)
QUEUED = Gauge(
    "torpor_gateway_queued",
    "Requests that wait for a place in an instance.",
    FUNCTION,
    registry=REGISTRY,
)
HELD = Gauge(
    "torpor_gateway_held",
    "Requests that wait for a function to wake.",
    FUNCTION,
    registry=REGISTRY,
)
SLOTS_USED = Gauge("torpor_gateway_slots_used", "HAProxy slots bound.", registry=REGISTRY)
SLOTS_TOTAL = Gauge("torpor_gateway_slots", "HAProxy slots that exist.", registry=REGISTRY)
CONNECTIONS_USED = Gauge(
    "torpor_gateway_connections_used",
    "Connections of clients and gateways that HAProxy has, idle ones included.",
    registry=REGISTRY,
)
CONNECTIONS = Gauge(
    "torpor_gateway_connections", "Connections that HAProxy takes.", registry=REGISTRY
)
COLD_STARTS = Counter(
    "torpor_cold_starts",
    "Wakes from zero by result: ok, or the reason.",
    ("result",),
    registry=REGISTRY,
)
COLD_START_SECONDS = Histogram(
    "torpor_cold_start_seconds",
    "Cold start by phase (decide, schedule, create, start, release, total).",
    ("phase",),
    buckets=(
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.2,
        0.3,
        0.5,
        0.7,
        1.0,
        1.5,
        2.5,
        5.0,
        10.0,
        30.0,
        60.0,
    ),
    registry=REGISTRY,
)
ANNOUNCEMENTS = Counter(
    "torpor_gateway_announcements",
    "Instances that told their address, by result.",
    ("result",),
    registry=REGISTRY,
)
DATA_PLANE_RESTARTS = Counter(
    "torpor_gateway_dataplane_restarts",
    "Times HAProxy ended and was started again.",
    registry=REGISTRY,
)
