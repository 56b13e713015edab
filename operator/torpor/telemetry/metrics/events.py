"""What the events role tells of Triggers, buses and its store."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from torpor.telemetry.metrics.registry import REGISTRY, SECONDS, TRIGGER

TRIGGER_RECEIVED = Counter(
    "torpor_trigger_received",
    "What arrived from a Trigger's source, before its filter.",
    TRIGGER,
    registry=REGISTRY,
)
TRIGGER_MATCHED = Counter(
    "torpor_trigger_matched", "Events that passed a Trigger's filter.", TRIGGER, registry=REGISTRY
)
TRIGGER_UNDECODABLE = Counter(
    "torpor_trigger_undecodable",
    "What arrived and was no event: dead-lettered as it came.",
    TRIGGER,
    registry=REGISTRY,
)
BUS_ROUTED = Counter(
    "torpor_bus_routed",
    "Events of buses given to the Triggers that they match, each once.",
    ("namespace", "bus"),
    registry=REGISTRY,
)
TRIGGER_DELIVERED = Counter(
    "torpor_trigger_delivered", "Events that their target took.", TRIGGER, registry=REGISTRY
)
TRIGGER_FAILED = Counter(
    "torpor_trigger_failed",
    "Attempts to deliver an event that failed.",
    TRIGGER,
    registry=REGISTRY,
)
TRIGGER_RETRIED = Counter(
    "torpor_trigger_retried",
    "Failed attempts after which the event is tried again.",
    TRIGGER,
    registry=REGISTRY,
)
TRIGGER_DEAD_LETTERED = Counter(
    "torpor_trigger_dead_lettered", "Events that were given up.", TRIGGER, registry=REGISTRY
)
TRIGGER_DEDUPLICATED = Counter(
    "torpor_trigger_deduplicated",
    "Events not delivered because one with their key had been.",
    TRIGGER,
    registry=REGISTRY,
)
TRIGGER_DELIVERY_SECONDS = Histogram(
    "torpor_trigger_delivery_seconds",
    "How long the target took for a delivery, failed ones included.",
    TRIGGER,
    buckets=SECONDS,
    registry=REGISTRY,
)
TRIGGER_IN_FLIGHT = Gauge(
    "torpor_trigger_in_flight",
    "Events that are with their target now.",
    TRIGGER,
    registry=REGISTRY,
)
POSTGRES_WAL_KEPT = Gauge(
    "torpor_trigger_postgres_wal_kept_bytes",
    "WAL that a PostgreSQL keeps for a Trigger's slot, while the Trigger is read.",
    TRIGGER,
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
