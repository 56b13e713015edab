"""The Trigger kind as frozen values, parsed once at the edge; patterns are not looked into. Pure.

`crds/triggers.yaml` validates the same fields with the same defaults; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.names import FunctionKey
from torpor.resources.rules import check_names
from torpor.resources.trigger_rules import SAME_SOURCE, check_trigger, ordering_key

DEFAULT_MAX_ATTEMPTS = 5
DEFAULT_MAX_AGE_SECONDS = 86_400
DEFAULT_DEDUPE_SECONDS = 3600


class SourceKind(StrEnum):
    """Where events come from: the field of `spec.source` that is set."""

    HTTP = "http"
    SCHEDULE = "schedule"
    QUEUE = "queue"
    BUS = "bus"
    STORAGE = "storage"
    POSTGRES = "postgres"
    MQTT = "mqtt"
    KAFKA = "kafka"
    RABBITMQ = "rabbitmq"
    REDIS = "redis"
    KUBERNETES = "kubernetes"


class TargetKind(StrEnum):
    """What takes the events: the field of `spec.target` that is set."""

    FUNCTION = "function"
    WORKFLOW = "workflow"
    BUS = "bus"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Source:
    """One source. `settings` are the fields below `spec.source.<kind>`, read by its own module."""

    kind: SourceKind
    settings: Mapping[str, Any]


def check_change(before: Source, after: Source) -> None:
    """Refuse another source for one Trigger: what it holds and made belongs to the one it has."""
    if _place(before) != _place(after):
        raise InvalidResource("spec.source", SAME_SOURCE)


def _place(source: Source) -> tuple[SourceKind, object]:
    named = source.kind in (SourceKind.BUS, SourceKind.QUEUE)
    return source.kind, source.settings.get("name") if named else None


@dataclass(frozen=True, slots=True)
class Target:
    """One taker in the Trigger's namespace; `path` and `method` are for Functions."""

    kind: TargetKind
    name: str
    path: str = "/"
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events pass: at most one of the two is set; with none all do."""

    pattern: Mapping[str, Any] | None = None
    cesql: str | None = None


@dataclass(frozen=True, slots=True)
class Transform:
    """What the target is given instead of the event: at most one of the two is set."""

    jsonata: str | None = None
    input: Any = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Up to `size` events a delivery, gathered for at most `window_seconds`."""

    size: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Events with the same value of the JMESPath `key` have one effect within the window."""

    key: str
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Backoff:
    """The pause before attempt n + 1: initial x factor^(n-1), at most max, less random jitter."""

    initial_seconds: float = 1.0
    max_seconds: float = 300.0
    factor: float = 2.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Opens when `failure_rate` (0 to 1) of the deliveries of a window failed.

    While it is open, events wait, or go to the fallback.
    """

    failure_rate: float
    window_seconds: float
    open_seconds: float
    minimum_deliveries: int
    fallback: Target | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """How long and how often the target is tried.

    `timeout_seconds` None: as long as the Function itself allows. `retry_on` empty: what may pass
    (no answer, 5xx, 408, 409, 425, 429); else these statuses, and no answer.
    """

    timeout_seconds: float | None = None
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_age_seconds: int = DEFAULT_MAX_AGE_SECONDS
    backoff: Backoff = Backoff()
    retry_on: tuple[int, ...] = ()
    circuit_breaker: CircuitBreaker | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What becomes of events that are given up: kept, and sent on to `target` if there is one."""

    enabled: bool = True
    target: Target | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A Trigger as its user wrote it, with the schema's defaults filled in."""

    key: FunctionKey
    uid: str
    generation: int
    source: Source
    filter: Filter
    transform: Transform
    target: Target
    batch: Batch | None
    ordering_key: str | None
    dedupe: Dedupe | None
    delivery: Delivery
    dead_letter: DeadLetter
    suspended: bool
    status: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Trigger:
        """Return the Trigger in `obj` (the JSON form); InvalidResource names the bad field."""
        meta = Fields(obj.get("metadata") or {}, "metadata")
        spec = Fields(obj.get("spec") or {}, "spec")
        check_trigger(spec)
        return cls(
            key=_key_of(meta),
            uid=meta.text("uid", ""),
            generation=meta.integer("generation", 0),
            source=_source(spec.child("source")),
            filter=_filter(spec.child("filter")),
            transform=_transform(spec.child("transform")),
            target=parse_target(spec.child("target"), "spec.target"),
            batch=_batch(spec),
            ordering_key=ordering_key(spec),
            dedupe=_dedupe(spec),
            delivery=_delivery(spec.child("delivery")),
            dead_letter=_dead_letter(spec.child("deadLetter")),
            suspended=spec.boolean("suspend", default=False),
            status=obj.get("status") or {},
        )


def _key_of(meta: Fields) -> FunctionKey:
    key = FunctionKey(meta.text("namespace", "default"), meta.required_text("name"))
    check_names(key.namespace, key.name)
    return key


def _source(found: Fields) -> Source:
    kinds = [kind for kind in SourceKind if found.has(kind)]
    if len(kinds) != 1:
        names = ", ".join(SourceKind)
        raise InvalidResource("spec.source", f"give exactly one of {names}")
    return Source(kinds[0], MappingProxyType(found.mapping(kinds[0])))


def parse_target(found: Fields, path: str) -> Target:
    """Return the target at `path`; InvalidResource says what is wrong."""
    kinds = [kind for kind in TargetKind if found.has(kind)]
    if len(kinds) != 1:
        raise InvalidResource(path, f"give exactly one of {', '.join(TargetKind)}")
    body = found.child(kinds[0])
    return Target(
        kinds[0], body.required_text("name"), body.text("path", "/"), body.text("method", "POST")
    )


def _filter(found: Fields) -> Filter:
    if found.has("pattern") and found.has("cesql"):
        raise InvalidResource("spec.filter", "give pattern or cesql, not both")
    pattern = found.mapping("pattern") if found.has("pattern") else None
    return Filter(pattern, found.optional_text("cesql"))


def _transform(found: Fields) -> Transform:
    if found.has("jsonata") and found.has("input"):
        raise InvalidResource("spec.transform", "give jsonata or input, not both")
    return Transform(found.optional_text("jsonata"), found.raw("input"))


def _batch(spec: Fields) -> Batch | None:
    if not spec.has("batch"):
        return None
    found = spec.child("batch")
    return Batch(
        found.integer("size", 10, low=1, high=10_000),
        found.number("windowSeconds", 0.0, low=0, high=300),
    )


def _dedupe(spec: Fields) -> Dedupe | None:
    if not spec.has("dedupe"):
        return None
    found = spec.child("dedupe")
    seconds = found.integer("windowSeconds", DEFAULT_DEDUPE_SECONDS, low=1, high=604_800)
    return Dedupe(found.required_text("key"), seconds)


def _delivery(found: Fields) -> Delivery:
    backoff, default = found.child("backoff"), Backoff()
    timeout = found.number("timeoutSeconds", 0.0, low=0.1, high=86_400)
    return Delivery(
        timeout_seconds=timeout if found.has("timeoutSeconds") else None,
        max_attempts=found.integer("maxAttempts", DEFAULT_MAX_ATTEMPTS, low=1, high=1000),
        max_age_seconds=found.integer(
            "maxAgeSeconds", DEFAULT_MAX_AGE_SECONDS, low=60, high=604_800
        ),
        backoff=Backoff(
            initial_seconds=backoff.number(
                "initialSeconds", default.initial_seconds, low=0.01, high=3600
            ),
            max_seconds=backoff.number("maxSeconds", default.max_seconds, low=0.01, high=86_400),
            factor=backoff.number("factor", default.factor, low=1, high=10),
            jitter=backoff.number("jitter", default.jitter, low=0, high=1),
        ),
        retry_on=found.integers("retryOn", low=300, high=599),
        circuit_breaker=_breaker(found),
    )


def _breaker(delivery: Fields) -> CircuitBreaker | None:
    if not delivery.has("circuitBreaker"):
        return None
    found = delivery.child("circuitBreaker")
    path = "spec.delivery.circuitBreaker.fallback"
    return CircuitBreaker(
        failure_rate=found.number("failureRate", 0.5, low=0.01, high=1),
        window_seconds=found.number("windowSeconds", 60.0, low=1, high=3600),
        open_seconds=found.number("openSeconds", 30.0, low=1, high=3600),
        minimum_deliveries=found.integer("minimumDeliveries", 10, low=1, high=10_000),
        fallback=parse_target(found.child("fallback"), path) if found.has("fallback") else None,
    )


def _dead_letter(found: Fields) -> DeadLetter:
    return DeadLetter(
        enabled=found.boolean("enabled", default=True),
        target=parse_target(found.child("target"), "spec.deadLetter.target")
        if found.has("target")
        else None,
    )
