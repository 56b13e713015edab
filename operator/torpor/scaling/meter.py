"""From the gateways' counters to one sample a function: what is there, and the mean since before.

Counters only grow while a gateway lives; a mean is a difference divided by its time. A gateway
that falls silent keeps its last load for `KEPT_SECONDS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from torpor.resources.load import FunctionLoad, GatewayLoad
from torpor.resources.names import FunctionKey
from torpor.scaling.values import Sight

KEPT_SECONDS = 30.0
"""How long the last load of a gateway that does not answer still counts."""


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
    boot: str
    answered_at: float
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
    known = before.loads if before and before.boot == answer.boot else {}
    seconds = now - before.answered_at if before else 0.0
    samples = {
        key: _sample(load, known.get(key), seconds) for key, load in answer.functions.items()
    }
    return _Gateway(answer.boot, now, answer.functions, samples)


def _sample(load: FunctionLoad, before: FunctionLoad | None, seconds: float) -> Sample:
    concurrency, rate = float(load.present), 0.0
    if before and seconds > 0 and load.concurrency_seconds >= before.concurrency_seconds:
        concurrency = (load.concurrency_seconds - before.concurrency_seconds) / seconds
        rate = max(0, load.requests - before.requests) / seconds
    waiting = load.queued + load.held
    return Sample(load.in_flight, waiting, concurrency, rate, load.instances)


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
