"""`spec.job`: what a Job Function asks of each of its runs. Pure.

What the CRD's rules in CEL refuse of it is refused here as well, in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.fields import Fields
from torpor.resources.instance import GPU_RESOURCE

DEFAULT_GRACE_SECONDS = 25
MAX_COMPLETIONS = 10_000
_STORE = re.compile(r"(s3|gs|az)://[^/\s]+(/\S*)?|file:///\S*")
_ONE_CHECKPOINT = (
    "give job.checkpoint exactly one of store (s3://bucket/prefix, gs://, az:// or file:///) and "
    "volume (the name of one of spec.volumes)"
)
_NO_SUCH_VOLUME = (
    "job.checkpoint.volume must be the name of one of spec.volumes; add the volume there"
)
_BAD_STORE = (
    "checkpoint.store must read s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or "
    "file:///folder"
)
_TOO_PARALLEL = "parallelism must not exceed completions; raise completions or lower parallelism"
_GPU_TWICE = "job.gpu sets the GPU's limit; remove it from resources.limits"
_WORKLOAD = "workload must be Service (answers requests) or Job (each call is a run to its end)"
_GOES_WITH_JOB = "job goes with workload: Job; write workload: Job or remove job"


class Workload(Enum):
    """What an invocation is: a request to an instance, or a run of its own."""

    SERVICE = "Service"
    JOB = "Job"


class Fallback(Enum):
    """What becomes of a run for whose GPU the cluster has no node."""

    NONE = "none"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class JobGpu:
    """`count` GPUs of each pod, each of one of `products`, the first preferred, or of any.

    `mig` is a slice, such as `1g.10gb`, in place of a whole one.
    """

    count: int = 1
    products: tuple[str, ...] = ()
    mig: str | None = None
    fallback: Fallback = Fallback.NONE

    @property
    def resource(self) -> str:
        """What the pod asks its node for."""
        return f"nvidia.com/mig-{self.mig}" if self.mig else GPU_RESOURCE


@dataclass(frozen=True, slots=True)
class CheckpointPlace:
    """Where a program keeps what it has done: a store's URL, or one of the Function's volumes."""

    store: str | None
    volume: str | None
    interval_seconds: int = 60


@dataclass(frozen=True, slots=True)
class Spot:
    """What lets the pods run on nodes that may be taken away."""

    tolerations: tuple[Mapping[str, Any], ...] = ()
    grace_seconds: int = DEFAULT_GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is: `completions` indexes, `parallelism` of them at once.

    `retries_per_index` is how often an index may fail before the run does; `ttl_seconds` is how
    long a run that ended is known; `queue` is one of Kueue's.
    """

    parallelism: int = 1
    completions: int = 1
    timeout_seconds: int = 86_400
    retries_per_index: int = 3
    ttl_seconds: int = 3600
    checkpoint: CheckpointPlace | None = None
    spot: Spot | None = None
    gpu: JobGpu | None = None
    queue: str | None = None

    @property
    def grace_seconds(self) -> int:
        """How long a program has between SIGTERM and SIGKILL."""
        return self.spot.grace_seconds if self.spot else DEFAULT_GRACE_SECONDS

    @classmethod
    def parse(cls, found: Fields) -> Job:
        """Return the settings; InvalidResource names the bad field."""
        return cls(
            parallelism=found.integer("parallelism", 1, low=1, high=1000),
            completions=found.integer("completions", 1, low=1, high=MAX_COMPLETIONS),
            timeout_seconds=found.integer("timeoutSeconds", 86_400, low=1, high=2_592_000),
            retries_per_index=found.child("retries").integer("perIndex", 3, low=0, high=100),
            ttl_seconds=found.integer("ttlSeconds", 3600, low=60, high=2_592_000),
            checkpoint=_checkpoint(found.child("checkpoint")) if found.has("checkpoint") else None,
            spot=_spot(found.child("spot")) if found.has("spot") else None,
            gpu=_gpu(found.child("gpu")) if found.has("gpu") else None,
            queue=found.optional_text("queue"),
        )


def check_workload(spec: Fields) -> None:
    """Refuse the first thing that goes against a rule of Job Functions, or of all others."""
    workload = spec.text("workload", Workload.SERVICE.value)
    if workload not in (Workload.SERVICE.value, Workload.JOB.value):
        raise InvalidResource("spec.workload", _WORKLOAD)
    if workload == Workload.SERVICE.value:
        if spec.has("job"):
            raise InvalidResource("spec.job", _GOES_WITH_JOB)
        return
    for field, problem in (*_not_with_job(spec), *_wrong_job(spec, spec.child("job"))):
        raise InvalidResource(f"spec.{field}", problem)


def _not_with_job(spec: Fields) -> Iterator[tuple[str, str]]:
    """Yield the fields that say how a Service answers or scales, where they were written."""
    scaling, told = spec.child("scaling"), spec.child("async")
    if spec.text("runtime", "").startswith("nodejs"):
        yield (
            "runtime",
            "runs have no runtime nodejs; use python3, or give an image with the program",
        )
    if spec.integer("port", 8080) != 8080 or spec.text("protocol", "http1") != "http1":
        yield "port", "port and protocol go with Service; a run answers nobody, so remove them"
    for name in ("readinessProbe", "livenessProbe"):
        if spec.has(name):
            text = "readinessProbe and livenessProbe go with Service; a run ends by itself, so"
            yield name, f"{text} remove them"
    if spec.has("gpu"):
        yield "gpu", "gpu goes with Service; write job.gpu"
    if spec.integer("timeoutSeconds", 30) != 30:
        yield "timeoutSeconds", "timeoutSeconds goes with Service; write job.timeoutSeconds"
    if (
        scaling.integer("minReplicas", 0)
        or scaling.integer("initialReplicas", 0)
        or scaling.has("provisioned")
        or scaling.has("requestsPerSecond")
    ):
        text = "scaling goes with Service; the pods of a run are job.parallelism, and"
        yield "scaling", f"{text} reservedConcurrency limits how many runs there are at once"
    if told.has("onSuccess") or told.has("onFailure"):
        text = "async goes with Service; have a Workflow start the run and go on when it ends, or"
        yield "async", f"{text} ask its Location"


def _wrong_job(spec: Fields, job: Fields) -> Iterator[tuple[str, str]]:
    if job.integer("parallelism", 1) > job.integer("completions", 1):
        yield "job.parallelism", _TOO_PARALLEL
    checkpoint = job.child("checkpoint")
    if job.has("checkpoint"):
        if checkpoint.has("store") == checkpoint.has("volume"):
            yield "job.checkpoint", _ONE_CHECKPOINT
        volumes = [item.text("name", "") for item in spec.children("volumes")]
        if checkpoint.has("volume") and checkpoint.text("volume", "") not in volumes:
            yield "job.checkpoint.volume", _NO_SUCH_VOLUME
    limits = spec.child("resources").mapping("limits")
    if job.has("gpu") and any(name.startswith("nvidia.com/") for name in limits):
        yield "resources", _GPU_TWICE


def _checkpoint(found: Fields) -> CheckpointPlace:
    store = found.optional_text("store")
    if store is not None and not _STORE.fullmatch(store):
        raise InvalidResource("spec.job.checkpoint.store", _BAD_STORE)
    return CheckpointPlace(
        store,
        found.optional_text("volume"),
        found.integer("intervalSeconds", 60, low=1, high=86_400),
    )


def _spot(found: Fields) -> Spot:
    return Spot(
        found.objects("tolerations"),
        found.integer("graceSeconds", DEFAULT_GRACE_SECONDS, low=1, high=3600),
    )


def _gpu(found: Fields) -> JobGpu:
    return JobGpu(
        found.integer("count", 1, low=1, high=16),
        found.texts("products"),
        found.optional_text("mig"),
        found.choice("fallback", Fallback, Fallback.NONE),
    )
