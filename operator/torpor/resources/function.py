"""The Function kind, parsed once at the edge into frozen values.

The CRD's schema and CEL rules are the validation that users meet; `Function.parse` repeats the
rules and the bounds that the code relies on, because `torpor dev` reads files that no API server
has seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.asynchronous import Asynchronous
from torpor.resources.code import Code
from torpor.resources.fields import Fields
from torpor.resources.instance import Gpu, Probe, Volume, gpu, probe, volume
from torpor.resources.job import Job, Workload
from torpor.resources.names import FunctionKey
from torpor.resources.rules import check_names, check_spec


class Protocol(Enum):
    """What a function speaks on its port."""

    HTTP1 = "http1"
    H2C = "h2c"


class Payload(Enum):
    """What a runtime gives the handler, and takes back from it."""

    RAW = "raw"
    CLOUDEVENTS = "cloudevents"
    LAMBDA = "lambda"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Requests in one pod: `target` is aimed at, `limit` bounds them (0: no limit).

    While a gateway comes or goes, what the old one still has inside is there besides (ADR 3).
    """

    target: int = 50
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Provisioned:
    """A floor of `replicas` for `duration_seconds` after each time that `schedule` (cron) names."""

    replicas: int
    schedule: str
    time_zone: str
    duration_seconds: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a function may scale. Factors are per decision tick of one second."""

    min_replicas: int = 0
    max_replicas: int = 20
    initial_replicas: int = 0
    concurrency: Concurrency = Concurrency()
    requests_per_second: int | None = None
    idle_seconds: int = 30
    window_seconds: int = 60
    burst_window_seconds: int = 6
    max_scale_up_factor: int = 1000
    max_scale_down_factor: int = 2
    provisioned: tuple[Provisioned, ...] = ()
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """What may wait on one gateway while a function wakes."""

    max_requests: int = 10_000
    max_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Function:
    """A Function as its user wrote it, with the schema's defaults filled in.

    `job` is what its runs are; None where an invocation is a request.
    """

    key: FunctionKey
    uid: str
    generation: int
    image: str | None
    runtime: str | None
    handler: str | None
    payload: Payload
    code: Code | None
    port: int
    protocol: Protocol
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[Mapping[str, Any], ...]
    env_from: tuple[Mapping[str, Any], ...]
    resources: Mapping[str, Any]
    gpu: Gpu | None
    volumes: tuple[Volume, ...]
    service_account_name: str | None
    image_pull_secrets: tuple[Mapping[str, Any], ...]
    node_selector: Mapping[str, str]
    tolerations: tuple[Mapping[str, Any], ...]
    timeout_seconds: int
    startup_timeout_seconds: int
    announcer: bool
    readiness_probe: Probe | None
    liveness_probe: Probe | None
    scaling: Scaling
    reserved_concurrency: int | None
    hold: Hold
    asynchronous: Asynchronous
    job: Job | None
    labels: Mapping[str, str]
    status: Mapping[str, Any]

    @classmethod
    def parse(cls, obj: Mapping[str, Any]) -> Function:
        """Return the Function in `obj` (the JSON form); InvalidResource names the bad field."""
        meta = Fields(obj.get("metadata") or {}, "metadata")
        spec = Fields(obj.get("spec") or {}, "spec")
        check_spec(spec)
        return cls(
            key=_key(meta),
            uid=meta.text("uid", ""),
            generation=meta.integer("generation", 0),
            image=spec.optional_text("image"),
            runtime=spec.optional_text("runtime"),
            handler=spec.optional_text("handler"),
            payload=spec.choice("payload", Payload, Payload.RAW),
            code=Code.parse(spec.child("code")) if spec.has("code") else None,
            port=spec.integer("port", 8080, low=1, high=65535),
            protocol=spec.choice("protocol", Protocol, Protocol.HTTP1),
            command=spec.texts("command"),
            args=spec.texts("args"),
            env=spec.objects("env"),
            env_from=spec.objects("envFrom"),
            resources=spec.mapping("resources"),
            gpu=gpu(spec.child("gpu")) if spec.has("gpu") else None,
            volumes=tuple(volume(item) for item in spec.children("volumes")),
            service_account_name=spec.optional_text("serviceAccountName"),
            image_pull_secrets=spec.objects("imagePullSecrets"),
            node_selector=spec.mapping("nodeSelector"),
            tolerations=spec.objects("tolerations"),
            timeout_seconds=spec.integer("timeoutSeconds", 30, low=1, high=3600),
            startup_timeout_seconds=spec.integer("startupTimeoutSeconds", 60, low=1, high=1800),
            announcer=spec.child("startup").boolean("announcer", default=True),
            readiness_probe=probe(spec, "readinessProbe"),
            liveness_probe=probe(spec, "livenessProbe"),
            scaling=_scaling(spec.child("scaling")),
            reserved_concurrency=spec.optional_integer(
                "reservedConcurrency", low=0, high=1_000_000
            ),
            hold=_hold(spec.child("hold")),
            asynchronous=Asynchronous.parse(spec.child("async")),
            job=_job(spec),
            labels=meta.mapping("labels"),
            status=obj.get("status") or {},
        )


def _key(meta: Fields) -> FunctionKey:
    key = FunctionKey(meta.text("namespace", "default"), meta.required_text("name"))
    check_names(key.namespace, key.name)
    return key


def _job(spec: Fields) -> Job | None:
    workload = spec.choice("workload", Workload, Workload.SERVICE)
    return Job.parse(spec.child("job")) if workload is Workload.JOB else None


def _hold(hold: Fields) -> Hold:
    return Hold(
        max_requests=hold.integer("maxRequests", 10_000, low=1, high=1_000_000),
        max_seconds=hold.integer("maxSeconds", 60, low=1, high=1800),
    )


_TOO_MANY = "{0} must not exceed maxReplicas; raise maxReplicas or lower {0}"


def _scaling(spec: Fields) -> Scaling:
    scaling = Scaling(
        min_replicas=spec.integer("minReplicas", 0, low=0),
        max_replicas=spec.integer("maxReplicas", 20, low=1),
        initial_replicas=spec.integer("initialReplicas", 0, low=0),
        concurrency=_concurrency(spec.child("concurrency")),
        requests_per_second=spec.optional_integer("requestsPerSecond", low=1),
        idle_seconds=spec.integer("idleSeconds", 30, low=1),
        window_seconds=spec.integer("windowSeconds", 60, low=2, high=3600),
        burst_window_seconds=spec.integer("burstWindowSeconds", 6, low=1, high=600),
        max_scale_up_factor=spec.integer("maxScaleUpFactor", 1000, low=2),
        max_scale_down_factor=spec.integer("maxScaleDownFactor", 2, low=2),
        provisioned=tuple(_provisioned(item) for item in spec.children("provisioned")),
        paused=spec.boolean("paused", default=False),
    )
    if scaling.min_replicas > scaling.max_replicas:
        raise InvalidResource("spec.scaling.minReplicas", _TOO_MANY.format("minReplicas"))
    if scaling.initial_replicas > scaling.max_replicas:
        raise InvalidResource("spec.scaling.initialReplicas", _TOO_MANY.format("initialReplicas"))
    if scaling.burst_window_seconds > scaling.window_seconds:
        problem = "burstWindowSeconds must not exceed windowSeconds; a burst is seen in the shorter"
        raise InvalidResource("spec.scaling.burstWindowSeconds", f"{problem} window")
    return scaling


def _concurrency(spec: Fields) -> Concurrency:
    limit = spec.integer("limit", 100, low=0)
    target = spec.integer("target", min(50, limit) if limit else 50, low=1)
    if limit and target > limit:
        problem = "target must not exceed limit; lower target, raise limit, or write limit: 0"
        raise InvalidResource("spec.scaling.concurrency.target", f"{problem} for no limit")
    return Concurrency(target, limit)


def _provisioned(spec: Fields) -> Provisioned:
    return Provisioned(
        replicas=spec.integer("replicas", 1, low=1),
        schedule=spec.required_text("schedule"),
        time_zone=spec.text("timeZone", "UTC"),
        duration_seconds=spec.integer("durationSeconds", 3600, low=60),
    )
