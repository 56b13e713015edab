"""From what `/metrics` of the roles say to usage: metrics are the one record of it.

Each role tells its own share, from its own start: the leader the time of pods, gateways requests,
engines the steps of Workflows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from torpor.telemetry.cost.usage import BadUsage, Phase, Size, Steps, Usage, Work, used
from torpor.telemetry.cost.values import ZERO

ROLES = ("controller", "engine", "gateway")
"""The components whose metrics say what was used."""
STARTED = "process_start_time_seconds"
_KEPT = (STARTED, "torpor_function_", "torpor_gateway_request", "torpor_run_", "torpor_workflow_")
_GIB = Decimal(1 << 30)
_PHASES = {phase.value: phase for phase in Phase}
_OUTCOMES = {"succeeded": Phase.USEFUL, "unseen": Phase.USEFUL, "lost": Phase.REDONE}
"""A run's pod that nobody saw end is taken to have been of use: most are."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one process counted since it began, in seconds since 1970; None: it does not say."""

    since: float | None
    usage: Usage


def source(text: str) -> Source:
    """Return what the answer of one `/metrics` says of usage; BadUsage if it is not one."""
    counted = _Counted()
    for sample in _samples(text):
        take = _TAKERS.get(sample.name)
        if take:
            take(counted, sample.labels, used(sample.name, sample.value))
    return Source(float(counted.since) if counted.since else None, counted.usage())


@dataclass(slots=True)
class _Counted:
    since: Decimal = ZERO
    names: dict[str, bool] = field(default_factory=dict)
    sizes: dict[str, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    requests: dict[str, Decimal] = field(default_factory=dict)
    seconds: dict[str, Decimal] = field(default_factory=dict)
    phases: dict[str, dict[Phase, Decimal]] = field(default_factory=lambda: defaultdict(dict))
    steps: dict[str, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(dict))

    def usage(self) -> Usage:
        """Return it all, by Function and by Workflow."""
        functions = {name: self._work(name, is_runs) for name, is_runs in self.names.items()}
        return Usage(functions, {name: Steps(**found) for name, found in self.steps.items()})

    def _work(self, name: str, is_runs: bool) -> Work:
        size = self.sizes.get(name, {})
        return Work(
            Size(
                size.get("memory_bytes", ZERO) / _GIB,
                size.get("vcpus", ZERO),
                size.get("gpus", ZERO),
            ),
            self.requests.get(name, ZERO),
            self.seconds.get(name, ZERO),
            self.phases.get(name, {}),
            is_runs,
        )


_Labels = Mapping[str, str]


def _started(counted: _Counted, _: _Labels, value: Decimal) -> None:
    counted.since = value


def _requests(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    counted.requests[_function(counted, labels)] = value


def _request_seconds(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    counted.seconds[_function(counted, labels)] = value


def _pod_seconds(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    name, phase = _function(counted, labels), _PHASES.get(labels.get("phase", ""))
    if phase is not None:
        counted.phases[name][phase] = value


def _pod_size(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    counted.sizes[_name(labels, "function")][labels.get("resource", "")] = value


def _run_seconds(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    name = _name(labels, "function")
    counted.names[name] = True
    phase = _OUTCOMES.get(labels.get("outcome", ""), Phase.USEFUL)
    counted.phases[name][phase] = counted.phases[name].get(phase, ZERO) + value


def _steps(field_name: str) -> Callable[[_Counted, _Labels, Decimal], None]:
    def take(counted: _Counted, labels: _Labels, value: Decimal) -> None:
        counted.steps[_name(labels, "workflow")][field_name] = value

    return take


def _transitions(counted: _Counted, labels: _Labels, value: Decimal) -> None:
    if labels.get("type") == "STANDARD":
        counted.steps[_name(labels, "workflow")]["transitions"] = value


_TAKERS: Mapping[str, Callable[[_Counted, _Labels, Decimal], None]] = {
    STARTED: _started,
    "torpor_gateway_requests_total": _requests,
    "torpor_gateway_request_seconds_total": _request_seconds,
    "torpor_function_pod_seconds_total": _pod_seconds,
    "torpor_function_pod_size": _pod_size,
    "torpor_run_pod_seconds_total": _run_seconds,
    "torpor_workflow_transitions_total": _transitions,
    "torpor_workflow_express_seconds_count": _steps("express"),
    "torpor_workflow_express_seconds_sum": _steps("express_seconds"),
}


def _function(counted: _Counted, labels: _Labels) -> str:
    name = _name(labels, "function")
    counted.names.setdefault(name, False)
    return name


def _name(labels: _Labels, kind: str) -> str:
    return f"{labels.get('namespace', '')}/{labels.get(kind, '')}"


def _samples(text: str) -> Iterator[Sample]:
    """Yield the samples of the families that tell of usage: the others are most of the text."""
    lines = text.split("\n")  # splitlines() ends some within a label
    kept = [line for line in lines if line.removeprefix("# TYPE ").startswith(_KEPT)]
    try:
        families: list[Metric] = list(text_string_to_metric_families("\n".join(kept) + "\n"))
    except ValueError as error:
        raise BadUsage(f"what should be metrics is none: {error}") from error
    for family in families:
        yield from family.samples
