"""From the gateways' counters to one sample a function: what is there, and the mean since before.

Counters only grow while a gateway lives; a mean is a difference divided by the time that passed on
the gateway's own clock, as an answer that was late would otherwise make a load look low, and the
next one high. A gateway that falls silent keeps its last load for `KEPT_SECONDS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from torpor.resources.load import FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.scaling.values import Sight

KEPT_SECONDS = 30.0
"""How long the last load of a gateway that does not answer still counts."""
LEAST_SHARE = 0.5
"""What was measured over less than this part of the time since the last mean is left to the next:
a busy gateway measures late, and the little that it saw does not stand for the rest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One function over all gateways: counts now, means since the sample before.

    `waiting` are queued or held; `instances` is the in-flight count of each instance.
    """

    in_flight: int = 0
    waiting: int = 0
    concurrency: float = 0.0
    requests_per_second: float = 0.0
    instances: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def present(self) -> int:
        """Requests that are somewhere on the gateways."""
        return self.in_flight + self.waiting


@dataclass(frozen=True, slots=True)
class Reading:
    """Samples of the functions that have a load anywhere, and how much was seen."""

    samples: Mapping[FunctionKey, Sample]
    sight: Sight


@dataclass(frozen=True, slots=True)
class _Gateway:
    """`loads` are the counters of which the next difference is taken, read at `read_at`."""

    boot: str
    answered_at: float
    read_at: float
    measured_at: float | None
    loads: Mapping[FunctionKey, FunctionLoad]
    samples: Mapping[FunctionKey, Sample]


class Meter:
    """Remembers the last answer of each gateway."""

    def __init__(self, now: float) -> None:
        self._began = now
        self._gateways: dict[str, _Gateway] = {}

    def read(self, answers: Sequence[GatewayLoad], silent: int, now: float) -> Reading:
        """Return the samples at `now` from the gateways' answers; `silent` did not answer."""
        for answer in answers:
            self._gateways[answer.gateway] = _taken(answer, self._gateways.get(answer.gateway), now)
        self._forget(now)
        samples = _merged([gateway.samples for gateway in self._gateways.values()])
        return Reading(samples, self._sight(answers, silent, now))

    def _forget(self, now: float) -> None:
        for name, gateway in list(self._gateways.items()):
            if now - gateway.answered_at >= KEPT_SECONDS:
                del self._gateways[name]

    def _sight(self, answers: Sequence[GatewayLoad], silent: int, now: float) -> Sight:
        if not answers:
            return Sight.BLIND
        # Early on, a silent gateway may be one that another leader heard a moment ago.
        unknown = silent > 0 and now - self._began < KEPT_SECONDS
        return Sight.PARTIAL if unknown or len(self._gateways) > len(answers) else Sight.CLEAR


def _taken(answer: GatewayLoad, before: _Gateway | None, now: float) -> _Gateway:
    if before is None or before.boot != answer.boot:
        samples = {key: _sample(load) for key, load in answer.functions.items()}
        return _Gateway(answer.boot, now, now, answer.measured_at, answer.functions, samples)
    seconds = _seconds(answer, before, now)
    if 0 < seconds >= LEAST_SHARE * (now - before.read_at):
        samples = {
            key: _mean(load, before.loads.get(key), seconds)
            for key, load in answer.functions.items()
        }
        return _Gateway(answer.boot, now, now, answer.measured_at, answer.functions, samples)
    samples = {
        key: _going_on(load, before.samples.get(key)) for key, load in answer.functions.items()
    }
    loads = {key: before.loads[key] for key in answer.functions if key in before.loads}
    return replace(before, answered_at=now, loads=loads, samples=samples)


def _seconds(answer: GatewayLoad, before: _Gateway, now: float) -> float:
    if answer.measured_at is None or before.measured_at is None:
        return now - before.read_at
    return answer.measured_at - before.measured_at


def _mean(load: FunctionLoad, before: FunctionLoad | None, seconds: float) -> Sample:
    if before is None or load.concurrency_seconds < before.concurrency_seconds:
        return _sample(load)
    concurrency = (load.concurrency_seconds - before.concurrency_seconds) / seconds
    return _sample(load, concurrency, max(0, load.requests - before.requests) / seconds)


def _going_on(load: FunctionLoad, before: Sample | None) -> Sample:
    if before is None:
        return _sample(load)
    return _sample(load, before.concurrency, before.requests_per_second)


def _sample(load: FunctionLoad, concurrency: float | None = None, rate: float = 0.0) -> Sample:
    mean = float(load.present) if concurrency is None else concurrency
    return Sample(load.in_flight, load.queued + load.held, mean, rate, load.instances)


def _merged(parts: Sequence[Mapping[FunctionKey, Sample]]) -> Mapping[FunctionKey, Sample]:
    if len(parts) == 1:
        return parts[0]
    together: dict[FunctionKey, list[Sample]] = defaultdict(list)
    for part in parts:
        for key, sample in part.items():
            together[key].append(sample)
    return {key: items[0] if len(items) == 1 else _sum(items) for key, items in together.items()}


def _sum(items: Sequence[Sample]) -> Sample:
    instances: dict[str, int] = defaultdict(int)
    for item in items:
        for name, count in item.instances.items():
            instances[name] += count
    return Sample(
        in_flight=sum(item.in_flight for item in items),
        waiting=sum(item.waiting for item in items),
        concurrency=sum(item.concurrency for item in items),
        requests_per_second=sum(item.requests_per_second for item in items),
        instances=instances,
    )
