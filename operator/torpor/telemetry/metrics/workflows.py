"""What engines tell of Workflows."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Summary

from torpor.telemetry.metrics.registry import REGISTRY, SECONDS, WORKFLOW

WORKFLOW_STARTED = Counter(
    "torpor_workflow_executions_started",
    "Executions that began, or began again by a redrive, by type of their machine.",
    ("type",),
    registry=REGISTRY,
)
WORKFLOW_ENDED = Counter(
    "torpor_workflow_executions_ended",
    "Executions that ended, by type and status.",
    ("type", "status"),
    registry=REGISTRY,
)
WORKFLOW_SECONDS = Histogram(
    "torpor_workflow_execution_seconds",
    "From the start of an execution to its end.",
    ("type",),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0, 300.0, 3600.0, 86400.0),
    registry=REGISTRY,
)
WORKFLOW_TRANSITIONS = Counter(
    "torpor_workflow_transitions",
    "States entered, by Workflow and type of its machine.",
    (*WORKFLOW, "type"),
    registry=REGISTRY,
)
WORKFLOW_EXPRESS_SECONDS = Summary(
    "torpor_workflow_express_seconds",
    "From the start of an express execution to its end, by Workflow.",
    WORKFLOW,
    registry=REGISTRY,
)
WORKFLOW_RESIDENTS = Gauge(
    "torpor_workflow_residents", "Executions in this engine's memory.", registry=REGISTRY
)
WORKFLOW_TASKS = Gauge(
    "torpor_workflow_tasks_in_flight", "Tasks being done by integrations.", registry=REGISTRY
)
WORKFLOW_TASKS_QUEUED = Gauge(
    "torpor_workflow_tasks_queued", "Tasks that wait for a place in flight.", registry=REGISTRY
)
WORKFLOW_TASK_SECONDS = Histogram(
    "torpor_workflow_task_seconds",
    "How long integrations took, by service and result: ok, failed.",
    ("service", "result"),
    buckets=SECONDS,
    registry=REGISTRY,
)
WORKFLOW_TIMER_LAG_SECONDS = Histogram(
    "torpor_workflow_timer_lag_seconds",
    "How late timers rang.",
    buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0),
    registry=REGISTRY,
)
WORKFLOW_COMMIT_SECONDS = Histogram(
    "torpor_workflow_commit_seconds",
    "How long a step waited for its commit.",
    buckets=(0.001, 0.0025, *SECONDS),
    registry=REGISTRY,
)
WORKFLOW_COMMIT_EVENTS = Histogram(
    "torpor_workflow_commit_events",
    "History events in one step's commit.",
    buckets=(1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000),
    registry=REGISTRY,
)
WORKFLOW_SHARDS = Gauge(
    "torpor_workflow_shards_owned", "Shards that this engine owns.", registry=REGISTRY
)
WORKFLOW_FENCED = Counter(
    "torpor_workflow_fenced",
    "Shards found to belong to another engine when a step was to be written.",
    registry=REGISTRY,
)
