"""Every metric of Torpor, once: name, meaning, labels. Labels are bounded (no paths, no ids)."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry(auto_describe=True)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FUNCTION = ("namespace", "function")
_TRIGGER = ("namespace", "trigger")

API_REQUESTS = Counter(
    "torpor_api_requests", "Calls to the Kubernetes API.", ("verb", "code"), registry=REGISTRY
)
API_SECONDS = Histogram(
    "torpor_api_request_seconds",
    "How long calls to the Kubernetes API took, watches left out.",
    ("verb",),
    buckets=_SECONDS,
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
    "torpor_workqueue_wait_seconds", "From enqueued to taken.", buckets=_SECONDS, registry=REGISTRY
)
QUEUE_RETRIES = Counter("torpor_workqueue_retries", "Keys tried again.", registry=REGISTRY)
RECONCILES = Counter(
    "torpor_reconciles", "Reconciles by result: ok, requeue, error.", ("result",), registry=REGISTRY
)
RECONCILE_SECONDS = Histogram(
    "torpor_reconcile_seconds", "How long a reconcile took.", buckets=_SECONDS, registry=REGISTRY
)
LEADER = Gauge("torpor_leader", "1 while this replica holds the Lease.", registry=REGISTRY)
DECISIONS = Counter(
    "torpor_scaling_decisions",
    "Changes of replicas by direction: up, down, zero, aborted.",
    ("direction",),
    registry=REGISTRY,
)
DESIRED_REPLICAS = Gauge(
    "torpor_function_desired_replicas", "Replicas last asked for.", _FUNCTION, registry=REGISTRY
)
AUTOSCALER_SECONDS = Histogram(
    "torpor_autoscaler_tick_seconds",
    "How long one pass over all awake functions took.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
GATEWAYS_SILENT = Gauge(
    "torpor_autoscaler_silent_gateways",
    "Gateways that did not answer the last pull.",
    registry=REGISTRY,
)
REQUESTS = Counter(
    "torpor_gateway_requests", "Requests forwarded to a function.", _FUNCTION, registry=REGISTRY
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
    "torpor_gateway_in_flight", "Requests inside instances.", _FUNCTION, registry=REGISTRY
)
QUEUED = Gauge(
    "torpor_gateway_queued",
    "Requests that wait for a place in an instance.",
    _FUNCTION,
    registry=REGISTRY,
)
HELD = Gauge(
    "torpor_gateway_held",
    "Requests that wait for a function to wake.",
    _FUNCTION,
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
WORKFLOW_TRANSITIONS = Counter("torpor_workflow_transitions", "States entered.", registry=REGISTRY)
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
    buckets=_SECONDS,
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
    buckets=(0.001, 0.0025, *_SECONDS),
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
TRIGGER_RECEIVED = Counter(
    "torpor_trigger_received",
    "What arrived from a Trigger's source, before its filter.",
    _TRIGGER,
    registry=REGISTRY,
)
TRIGGER_MATCHED = Counter(
    "torpor_trigger_matched", "Events that passed a Trigger's filter.", _TRIGGER, registry=REGISTRY
)
TRIGGER_UNDECODABLE = Counter(
    "torpor_trigger_undecodable",
    "What arrived and was no event: dead-lettered as it came.",
    _TRIGGER,
    registry=REGISTRY,
)
BUS_ROUTED = Counter(
    "torpor_bus_routed",
    "Events of buses given to the Triggers that they match, each once.",
    ("namespace", "bus"),
    registry=REGISTRY,
)
TRIGGER_DELIVERED = Counter(
    "torpor_trigger_delivered", "Events that their target took.", _TRIGGER, registry=REGISTRY
)
TRIGGER_FAILED = Counter(
    "torpor_trigger_failed",
    "Attempts to deliver an event that failed.",
    _TRIGGER,
    registry=REGISTRY,
)
TRIGGER_RETRIED = Counter(
    "torpor_trigger_retried",
    "Failed attempts after which the event is tried again.",
    _TRIGGER,
    registry=REGISTRY,
)
TRIGGER_DEAD_LETTERED = Counter(
    "torpor_trigger_dead_lettered", "Events that were given up.", _TRIGGER, registry=REGISTRY
)
TRIGGER_DEDUPLICATED = Counter(
    "torpor_trigger_deduplicated",
    "Events not delivered because one with their key had been.",
    _TRIGGER,
    registry=REGISTRY,
)
TRIGGER_DELIVERY_SECONDS = Histogram(
    "torpor_trigger_delivery_seconds",
    "How long the target took for a delivery, failed ones included.",
    _TRIGGER,
    buckets=_SECONDS,
    registry=REGISTRY,
)
TRIGGER_IN_FLIGHT = Gauge(
    "torpor_trigger_in_flight",
    "Events that are with their target now.",
    _TRIGGER,
    registry=REGISTRY,
)
POSTGRES_WAL_KEPT = Gauge(
    "torpor_trigger_postgres_wal_kept_bytes",
    "WAL that a PostgreSQL keeps for a Trigger's slot, while the Trigger is read.",
    _TRIGGER,
    registry=REGISTRY,
)
EVENTS_PUBLISHED = Counter(
    "torpor_events_published",
    "Events taken by the events API, by where they went: bus, queue, inbox.",
    ("place",),
    registry=REGISTRY,
)
EVENTS_REFUSED = Counter(
    "torpor_events_refused",
    "Requests that the events API refused, by problem code or AWS's code.",
    ("code",),
    registry=REGISTRY,
)
STORE_USED = Gauge(
    "torpor_store_used_bytes", "What JetStream stores, one copy of each stream.", registry=REGISTRY
)
STORE_LIMIT = Gauge(
    "torpor_store_limit_bytes",
    "What JetStream may store; 0 while that is not known.",
    registry=REGISTRY,
)
STORE_ARCHIVE = Gauge(
    "torpor_store_archive_bytes", "What buses keep, routed or not.", registry=REGISTRY
)
ARCHIVE_GIVEN_UP = Counter(
    "torpor_archive_given_up",
    "Routed events that buses kept no longer because the store was short.",
    registry=REGISTRY,
)
TRACE_SPANS_DROPPED = Counter(
    "torpor_trace_spans_dropped",
    "Spans that no collector got, by reason: queue_full, not_taken, stopped.",
    ("reason",),
    registry=REGISTRY,
)
RUNS_STARTED = Counter(
    "torpor_run_started", "Runs of Job Functions that were made.", _FUNCTION, registry=REGISTRY
)
RUNS_FINISHED = Counter(
    "torpor_run_finished",
    "Runs that ended, by outcome: Succeeded, Failed, Cancelled.",
    (*_FUNCTION, "outcome"),
    registry=REGISTRY,
)
RUNS_ACTIVE = Gauge("torpor_run_active", "Runs that have not ended.", _FUNCTION, registry=REGISTRY)
RUN_PROGRESS = Gauge(
    "torpor_run_progress_ratio",
    "How far the active runs that tell it are, on average: 0 to 1.",
    _FUNCTION,
    registry=REGISTRY,
)
RUN_POD_SECONDS = Counter(
    "torpor_run_pod_seconds",
    "How long programs of runs that ended ran, by outcome of the pod: succeeded, lost, or unseen: "
    "gone before the leader that counts began to lead.",
    (*_FUNCTION, "outcome"),
    registry=REGISTRY,
)
