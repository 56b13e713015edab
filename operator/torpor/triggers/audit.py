"""What people want to know of their Triggers now and then: which are odd. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.definitions import Definition

_DAY_SECONDS = 86_400.0


class Finding(StrEnum):
    """What is odd about a Trigger."""

    QUIET = "quiet"
    """It had no event for so many days."""
    TARGET_MISSING = "target-missing"
    OVERLAP = "overlap"
    """Another one gives the same events to the same target."""
    SUSPENDED = "suspended"
    LOOP = "loop"
    """What it gives to its target comes back to its source."""


@dataclass(frozen=True, slots=True)
class Found:
    """One finding about one Trigger, for people."""

    trigger: FunctionKey
    finding: Finding
    detail: str

    def to_json(self) -> dict[str, str]:
        """Return its JSON form."""
        return {
            "trigger": str(self.trigger),
            "finding": self.finding.value,
            "detail": self.detail,
        }


def audit(
    definitions: Sequence[Definition],
    last: Mapping[FunctionKey, float],
    now: float,
    days: float,
) -> list[Found]:
    """Return what is odd, by Trigger; `last` is when each had its last event (Unix time)."""
    found = [each for definition in definitions for each in _alone(definition, last, now, days)]
    triggers = [definition.trigger for definition in definitions]
    found += [*_overlaps(triggers), *_loops(triggers)]
    return sorted(found, key=lambda each: (each.trigger, each.finding))


def _alone(
    definition: Definition, last: Mapping[FunctionKey, float], now: float, days: float
) -> Iterator[Found]:
    trigger = definition.trigger
    if definition.facts and not definition.facts.get("exists", True):
        text = f"there is no {trigger.target.kind} {trigger.target.name}"
        yield Found(trigger.key, Finding.TARGET_MISSING, text)
    if trigger.suspended:
        text = "its source is not read and nothing is delivered"
        yield Found(trigger.key, Finding.SUSPENDED, text)
        return
    since = max(last.get(trigger.key, 0.0), definition.since_seconds)
    if now - since > days * _DAY_SECONDS:
        told = "since its last event" if trigger.key in last else "and it never had an event"
        text = f"{(now - since) / _DAY_SECONDS:.0f} days {told}"
        yield Found(trigger.key, Finding.QUIET, text)


def _overlaps(triggers: Sequence[Trigger]) -> Iterator[Found]:
    """Two Triggers with one source and one target, of which one's filter takes all the other's."""
    places: dict[str, list[Trigger]] = {}
    for trigger in triggers:
        source = f"{trigger.source.kind} {sorted(trigger.source.settings.items())!r}"
        target = f"{trigger.target.kind} {trigger.target.name} {trigger.target.path}"
        places.setdefault(f"{trigger.key.namespace} {source} {target}", []).append(trigger)
    for alike in places.values():
        for one, other in combinations(alike, 2):
            yield from _overlap(one, other)


def _overlap(one: Trigger, other: Trigger) -> Iterator[Found]:
    if one.filter == other.filter:
        text = f"{other.key} has the same source, filter and target"
        yield Found(one.key, Finding.OVERLAP, text)
    elif _is_open(one) or _is_open(other):
        narrow, wide = (other, one) if _is_open(one) else (one, other)
        text = f"{wide.key} gives all events of that source to the same target"
        yield Found(narrow.key, Finding.OVERLAP, text)


def _is_open(trigger: Trigger) -> bool:
    return trigger.filter.pattern is None and trigger.filter.cesql is None


_Place = tuple[str, str, str]
"""The kind, namespace and name of a bus or queue."""


def _loops(triggers: Sequence[Trigger]) -> Iterator[Found]:
    """Triggers between buses and queues by which an event can come back to where it was."""
    steps: dict[_Place, list[_Place]] = {}
    for trigger in triggers:
        steps.setdefault(_from(trigger), []).append(_to(trigger))
    for trigger in triggers:
        way = _way(_to(trigger), _from(trigger), steps)
        if way:
            told = " to ".join(f"{kind} {name}" for kind, _, name in (_from(trigger), *way))
            text = f"events can go round for ever, from {told}: keep them out with a filter"
            yield Found(trigger.key, Finding.LOOP, text)


def _way(
    start: _Place, end: _Place, steps: Mapping[_Place, Sequence[_Place]]
) -> tuple[_Place, ...]:
    """The shortest way from one place to another, both in it; empty when there is none."""
    ways: deque[tuple[_Place, ...]] = deque([(start,)])
    seen = {start}
    while ways:
        way = ways.popleft()
        if way[-1] == end:
            return way
        for place in steps.get(way[-1], ()):
            if place not in seen:
                seen.add(place)
                ways.append((*way, place))
    return ()


def _from(trigger: Trigger) -> _Place:
    kind = trigger.source.kind
    named = kind in (SourceKind.BUS, SourceKind.QUEUE)
    name = str(trigger.source.settings.get("name")) if named else trigger.key.name
    return kind.value, trigger.key.namespace, name


def _to(trigger: Trigger) -> _Place:
    return trigger.target.kind.value, trigger.key.namespace, trigger.target.name
