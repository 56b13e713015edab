"""How each way of being charged makes money of work. One class for a way, its source beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from torpor.telemetry.cost.usage import Phase, Size, Steps, Work
from torpor.telemetry.cost.values import HOUR_SECONDS, WIDE, ZERO

Parts = dict[str, Decimal]
"""Money by what it was for."""


@dataclass(frozen=True, slots=True)
class RequestRates:
    """Charged by request and by the time of each, as AWS Lambda, Cloud Run and Azure Functions do.

    `memory_step_gib` and `step_seconds` are what memory and time are rounded up to; a request is
    charged as `least_seconds` at least; `ready_gib_second` is for a second of a GiB kept ready
    (Lambda's provisioned concurrency), in use or not.
    """

    request: Decimal
    gib_second: Decimal
    vcpu_second: Decimal = ZERO
    ready_gib_second: Decimal = ZERO
    step_seconds: Decimal = Decimal("0.001")
    memory_step_gib: Decimal = ZERO
    least_seconds: Decimal = ZERO

    def second(self, size: Size) -> Decimal:
        """Return what a second of a request costs."""
        memory = rounded_up(size.memory_gib, self.memory_step_gib)
        return memory * self.gib_second + size.vcpus * self.vcpu_second

    def one(self, size: Size, seconds: Decimal) -> Decimal:
        """Return what one request of so many seconds costs.

        A request's fee, and memory times duration: https://aws.amazon.com/lambda/pricing/ (there a
        GB has 1,024 MB); with vCPU beside it: https://cloud.google.com/run/pricing.
        """
        return self.request + self._charged(seconds) * self.second(size)

    def ready(self, size: Size) -> Decimal:
        """Return what a second of a place that is kept ready costs."""
        return size.memory_gib * self.ready_gib_second

    def parts(self, work: Work) -> Parts:
        """Return what the requests of a Function cost, each as long as their mean."""
        mean = ZERO
        if work.requests:
            mean = self._charged(work.request_seconds / work.requests)
        parts: Parts = {
            "requests": work.requests * self.request,
            Phase.USEFUL: work.requests * mean * self.second(work.size),
        }
        if self.ready_gib_second:
            kept = work.pod_seconds.get(Phase.USEFUL, ZERO) + work.pod_seconds.get(Phase.IDLE, ZERO)
            parts["provisioned"] = kept * self.ready(work.size)
        return parts

    def _charged(self, seconds: Decimal) -> Decimal:
        return rounded_up(max(seconds, self.least_seconds), self.step_seconds)


@dataclass(frozen=True, slots=True)
class ResourceRates:
    """Charged by the hour of what a pod reserves: https://aws.amazon.com/fargate/pricing/."""

    vcpu_hour: Decimal
    gib_hour: Decimal
    gpu_hour: Decimal = ZERO

    def second(self, size: Size) -> Decimal:
        """Return what a second of a pod costs."""
        hour = size.vcpus * self.vcpu_hour + size.memory_gib * self.gib_hour
        return (hour + size.gpus * self.gpu_hour) / HOUR_SECONDS


@dataclass(frozen=True, slots=True)
class NodeShare:
    """A pod's share of a node that has a price: of what it takes the largest part of.

    The dominant share of Ghodsi et al., "Dominant Resource Fairness" (NSDI 2011): what a pod leaves
    of the rest, nobody else can use once that part is gone.
    """

    hour: Decimal
    vcpus: Decimal
    memory_gib: Decimal
    gpus: Decimal = ZERO

    def second(self, size: Size) -> Decimal:
        """Return what a second of a pod costs."""
        shares = [size.vcpus / self.vcpus, size.memory_gib / self.memory_gib]
        if self.gpus:
            shares.append(size.gpus / self.gpus)
        return self.hour * max(shares) / HOUR_SECONDS


PodRates = ResourceRates | NodeShare


def pod_parts(rates: PodRates, work: Work) -> Parts:
    """Return what the time of a Function's pods cost, by what it was good for."""
    second = rates.second(work.size)
    return {phase: work.pod_seconds.get(phase, ZERO) * second for phase in Phase}


@dataclass(frozen=True, slots=True)
class WorkflowRates:
    """Charged by state transition, or for express executions by execution and its memory's time.

    https://aws.amazon.com/step-functions/pricing/: time is rounded up to 100 ms and memory to
    64 MB, which is the memory that is assumed here.
    """

    transition: Decimal
    express: Decimal
    express_gib_second: Decimal
    step_seconds: Decimal = Decimal("0.1")
    memory_gib: Decimal = Decimal(64) / Decimal(1024)

    def parts(self, steps: Steps) -> Parts:
        """Return what executions of a Workflow cost, express ones each as long as their mean."""
        parts: Parts = {"transitions": steps.transitions * self.transition}
        if steps.express:
            mean = rounded_up(steps.express_seconds / steps.express, self.step_seconds)
            parts["express"] = steps.express * self.express
            seconds = steps.express * mean
            parts["expressMemory"] = seconds * self.memory_gib * self.express_gib_second
        return parts


@dataclass(frozen=True, slots=True)
class Server:
    """A machine that is always on."""

    name: str
    hour: Decimal
    vcpus: Decimal
    memory_gib: Decimal


def rounded_up(value: Decimal, step: Decimal) -> Decimal:
    """Return the least multiple of `step` that is not below `value`; `value` where `step` is 0."""
    if not step:
        return value
    whole, rest = WIDE.divmod(value, step)
    return (whole + 1 if rest else whole) * step


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices as of a day. Where `requests` is None, Functions are charged by their pods.

    `vcpus_per_gib` is what a pod has of CPU where only its memory is known; `server` is the machine
    of its own that may be compared with, such as a node.
    """

    name: str
    title: str
    currency: str
    as_of: date
    sources: tuple[str, ...]
    vcpus_per_gib: Decimal
    requests: RequestRates | None = None
    pods: PodRates | None = None
    workflows: WorkflowRates | None = None
    server: Server | None = None

    def completed(self, other: PriceTable) -> PriceTable:
        """Return the table with what `other` has prices for and this one has not."""
        pods, workflows = self.pods or other.pods, self.workflows or other.workflows
        return replace(self, pods=pods, workflows=workflows)
