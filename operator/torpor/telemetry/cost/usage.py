"""What was used: requests, time of pods and what it was good for, steps of workflows.

Parsed once; a bill trusts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import StrEnum

from torpor.errors import TorporError
from torpor.telemetry.cost.values import ZERO, NotANumber, amount


class BadUsage(TorporError):
    """An amount of work that nobody can have done."""

    code = "bad-usage"


class Phase(StrEnum):
    """What the time of a pod was good for.

    `useful`: it had a request, or the work of a run that lasted. `start`: it was there and not
    ready. `idle`: it was ready and had nothing to do. `redone`: work of a run that was lost.
    """

    USEFUL = "useful"
    START = "start"
    IDLE = "idle"
    REDONE = "redone"


@dataclass(frozen=True, slots=True)
class Size:
    """What a pod reserves, whether it uses it or not: it is paid for as a whole."""

    memory_gib: Decimal = ZERO
    vcpus: Decimal = ZERO
    gpus: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Work:
    """What the pods of one Function did.

    `pod_seconds` are of pods of this size; `request_seconds` is the time in which requests were
    inside a pod, each on its own. A Function whose calls are runs has `is_runs`.
    """

    size: Size = field(default_factory=Size)
    requests: Decimal = ZERO
    request_seconds: Decimal = ZERO
    pod_seconds: Mapping[Phase, Decimal] = field(default_factory=dict)
    is_runs: bool = False

    def times(self, factor: Decimal) -> Work:
        """Return so many times as much work."""
        seconds = {phase: value * factor for phase, value in self.pod_seconds.items()}
        return replace(
            self,
            requests=self.requests * factor,
            request_seconds=self.request_seconds * factor,
            pod_seconds=seconds,
        )

    def __add__(self, other: Work) -> Work:
        """Return both together; the size is the mean of theirs, each for as long as it had pods."""
        phases = self.pod_seconds.keys() | other.pod_seconds.keys()
        return Work(
            _mean_size(self, other),
            self.requests + other.requests,
            self.request_seconds + other.request_seconds,
            {it: self.pod_seconds.get(it, ZERO) + other.pod_seconds.get(it, ZERO) for it in phases},
            self.is_runs or other.is_runs,
        )


def _mean_size(one: Work, other: Work) -> Size:
    """Return it by the time of pods: processes that led one after another may tell two sizes."""
    first, second = (sum(it.pod_seconds.values(), ZERO) for it in (one, other))
    if not first + second:
        return other.size if other.pod_seconds else one.size

    def mean(left: Decimal, right: Decimal) -> Decimal:
        return (left * first + right * second) / (first + second)

    return Size(
        mean(one.size.memory_gib, other.size.memory_gib),
        mean(one.size.vcpus, other.size.vcpus),
        mean(one.size.gpus, other.size.gpus),
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """What the executions of one Workflow did.

    `transitions` are states entered by standard executions; `express` executions have none of a
    price, but `express_seconds` from start to end.
    """

    transitions: Decimal = ZERO
    express: Decimal = ZERO
    express_seconds: Decimal = ZERO

    def times(self, factor: Decimal) -> Steps:
        """Return so many times as many."""
        return Steps(*(getattr(self, item.name) * factor for item in fields(self)))

    def __add__(self, other: Steps) -> Steps:
        """Return both together."""
        names = [item.name for item in fields(self)]
        return Steps(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True, slots=True)
class Usage:
    """Work by `namespace/name` of Functions, steps by that of Workflows."""

    functions: Mapping[str, Work] = field(default_factory=dict)
    workflows: Mapping[str, Steps] = field(default_factory=dict)

    def of(self, namespace: str) -> Usage:
        """Return what was used in one namespace."""
        start = f"{namespace}/"
        return Usage(
            {name: work for name, work in self.functions.items() if name.startswith(start)},
            {name: steps for name, steps in self.workflows.items() if name.startswith(start)},
        )

    def times(self, factor: Decimal) -> Usage:
        """Return so many times as much of everything."""
        return Usage(
            {name: work.times(factor) for name, work in self.functions.items()},
            {name: steps.times(factor) for name, steps in self.workflows.items()},
        )


def together(parts: Iterable[Usage]) -> Usage:
    """Return the sum: gateways, engines and the leader each tell their share."""
    functions: dict[str, Work] = {}
    workflows: dict[str, Steps] = {}
    for part in parts:
        for name, work in part.functions.items():
            functions[name] = functions.get(name, Work()) + work
        for name, steps in part.workflows.items():
            workflows[name] = workflows.get(name, Steps()) + steps
    return Usage(functions, workflows)


def used(what: str, value: object) -> Decimal:
    """Return an amount that was used; BadUsage if it is none, such as -1."""
    try:
        return amount(value)
    except NotANumber as error:
        raise BadUsage(f"{what} {error}") from error
