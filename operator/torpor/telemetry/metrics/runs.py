"""What the leader tells of runs of Job Functions."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from torpor.telemetry.metrics.registry import FUNCTION, REGISTRY

RUNS_STARTED = Counter(
    "torpor_run_started", "Runs of Job Functions that were made.", FUNCTION, registry=REGISTRY
)
RUNS_FINISHED = Counter(
    "torpor_run_finished",
    "Runs that ended, by outcome: Succeeded, Failed, Cancelled.",
    (*FUNCTION, "outcome"),
    registry=REGISTRY,
)
RUNS_ACTIVE = Gauge("torpor_run_active", "Runs that have not ended.", FUNCTION, registry=REGISTRY)
RUN_PROGRESS = Gauge(
    "torpor_run_progress_ratio",
    "How far the active runs that tell it are, on average: 0 to 1.",
    FUNCTION,
    registry=REGISTRY,
)
RUN_POD_SECONDS = Counter(
    "torpor_run_pod_seconds",
    "How long programs of runs that ended ran, by outcome of the pod: succeeded, lost, or unseen: "
    "gone before the leader that counts began to lead.",
    (*FUNCTION, "outcome"),
    registry=REGISTRY,
)
