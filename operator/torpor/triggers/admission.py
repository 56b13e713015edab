"""Everything that is wrong with a Trigger, found before it is in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torpor.errors import InvalidResource, TorporError
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind, Trigger
from torpor.triggers.base import OpenSource, SourceWorld
from torpor.triggers.broker import names
from torpor.triggers.filter.compiled import compile_filter
from torpor.triggers.partition import partitioning
from torpor.triggers.transform import compile_transform
from torpor.triggers.transform.bounded_jmespath import compile_expression


class TriggerInvalid(TorporError):
    """A Trigger that cannot be in force; the text has every problem that was found."""

    code = "invalid-trigger"


def admit(
    key: FunctionKey,
    obj: Mapping[str, Any],
    sources: Mapping[SourceKind, OpenSource],
    world: SourceWorld,
) -> Trigger:
    """Return the Trigger of this key in `obj`; TriggerInvalid says all that is wrong with it."""
    try:
        trigger = Trigger.parse(obj)
        names.trigger_key(key.namespace, key.name)
    except TorporError as error:
        raise TriggerInvalid(str(error)) from error
    problems = list(_problems(key, trigger, sources, world))
    if problems:
        raise TriggerInvalid("; ".join(problems))
    return trigger


def _problems(
    key: FunctionKey,
    trigger: Trigger,
    sources: Mapping[SourceKind, OpenSource],
    world: SourceWorld,
) -> Iterator[str]:
    if trigger.key != key:
        yield f"metadata: the object is {trigger.key}, not {key}"
    opened = sources.get(trigger.source.kind)
    checks: tuple[Callable[[], object], ...] = (
        lambda: compile_filter(trigger.filter),
        lambda: compile_transform(trigger.transform),
        lambda: _names(trigger),
        lambda: opened(trigger, world) if opened else None,
    )
    for check in checks:
        try:
            check()
        except (TorporError, ValueError, LookupError, TypeError) as error:
            yield str(error)
    yield from _expressions(trigger)


def _names(trigger: Trigger) -> None:
    """Of the buses and queues that it is about."""
    namespace, source, target = trigger.key.namespace, trigger.source, trigger.target
    name = str(source.settings.get("name", ""))
    for kind, place in ((source.kind, name), (target.kind, target.name)):
        if kind in (SourceKind.QUEUE, TargetKind.QUEUE):
            names.queue_stream(namespace, place)
        elif kind in (SourceKind.BUS, TargetKind.BUS):
            names.bus_stream(namespace, place)


def _expressions(trigger: Trigger) -> Iterator[str]:
    try:
        partitioning(trigger)
    except (ValueError, InvalidResource) as error:
        yield f"spec.ordering.key: {error}"
    try:
        if trigger.dedupe is not None:
            compile_expression(trigger.dedupe.key)
    except (ValueError, InvalidResource) as error:
        yield f"spec.dedupe.key: {error}"
