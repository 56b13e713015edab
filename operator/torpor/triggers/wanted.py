"""From a Trigger object to what the events role is told, or to what is wrong with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torpor.errors import InvalidResource
from torpor.resources.conditions import INVALID_SPEC
from torpor.resources.function import Function
from torpor.resources.names import API_VERSION, FunctionKey
from torpor.resources.trigger import SourceKind, TargetKind, Trigger
from torpor.scaling.decide import target_of
from torpor.triggers.filter.cesql import CesqlError
from torpor.triggers.filter.compiled import compile_filter
from torpor.triggers.filter.pattern_error import PatternError
from torpor.triggers.standings import Standing, TargetFacts, Wanted
from torpor.triggers.status import (
    INVALID_EXPRESSION,
    INVALID_PATTERN,
    SUSPENDED,
    TARGET_MISSING,
    Problem,
)
from torpor.triggers.transform import compile_transform

_OF_METADATA = ("namespace", "name", "uid", "generation")
_ORDERED_PLACES = 16
"""Keys are kept in order in so many partitions, with one delivery each."""


def read(obj: Mapping[str, Any]) -> Trigger | Problem:
    """Return the Trigger in `obj`, or why it can never be in force as it is."""
    try:
        trigger = Trigger.parse(obj)
    except InvalidResource as error:
        return Problem(INVALID_SPEC, str(error), final=True)
    try:
        compile_filter(trigger.filter)
        compile_transform(trigger.transform)
    except PatternError as error:
        return Problem(INVALID_PATTERN, str(error), final=True)
    except (CesqlError, InvalidResource) as error:
        return Problem(INVALID_EXPRESSION, str(error), final=True)
    return trigger


def essence(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object without what does not matter to the events role, such as its status."""
    meta = obj["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": "Trigger",
        "metadata": {name: meta[name] for name in _OF_METADATA if name in meta},
        "spec": obj["spec"],
    }


def deleted(
    key: FunctionKey, wanted: Wanted | None, standing: Standing | None
) -> dict[str, Any] | None:
    """Return what stands for an object that is gone; None when its uid is not known."""
    meta = {} if wanted is None else wanted.object["metadata"]
    uid = meta.get("uid") or (standing and standing.uid)
    if not uid:
        return None
    metadata = {"namespace": key.namespace, "name": key.name, "uid": uid}
    return {"apiVersion": API_VERSION, "kind": "Trigger", "metadata": metadata}


def suspending(obj: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as if its user had suspended it."""
    return {**obj, "spec": {**obj["spec"], "suspend": True}}


def is_direct(trigger: Trigger) -> bool:
    """Return whether the gateway alone serves it: requests that its Function answers."""
    asynchronous = trigger.source.settings.get("async")
    plain = trigger.source.kind is SourceKind.HTTP and not asynchronous
    return plain and trigger.target.kind is TargetKind.FUNCTION


def facts_of(function: Function | None) -> TargetFacts:
    """Return what the events role should know of a Function."""
    if function is None:
        return TargetFacts(exists=False)
    if function.job is not None:
        return TargetFacts(exists=True, is_job=True)
    scaling = function.scaling
    return TargetFacts(
        exists=True,
        timeout_seconds=float(function.timeout_seconds),
        concurrency_target=target_of(scaling.concurrency),
        concurrency_limit=scaling.concurrency.limit,
        max_replicas=scaling.max_replicas,
    )


def instances_for(lag: float, trigger: Trigger, facts: TargetFacts) -> float:
    """Return how many instances such a lag is work for; it stays above 0 while there is any.

    It is 0 of a Job Function, which has none. A delivery carries a batch. Events in order of a key
    come in no more than 16 deliveries at once.
    """
    if facts.is_job:
        return 0.0
    batch = trigger.batch.size if trigger.batch else 1
    deliveries = lag / batch
    if trigger.ordering_key is not None:
        deliveries = min(deliveries, float(_ORDERED_PLACES))
    return deliveries / max(1, facts.concurrency_target)


def missing_target(trigger: Trigger, facts: TargetFacts | None) -> Problem | None:
    """Return that its target does not exist, if it does not."""
    if facts is None or facts.exists:
        return None
    kind, name = trigger.target.kind.value, trigger.target.name
    text = f"there is no {kind.capitalize()} {name} in {trigger.key.namespace}"
    waiting = "" if is_direct(trigger) else "; events wait for it"
    return Problem(TARGET_MISSING, text + waiting, final=True)


def suspended(trigger: Trigger) -> Problem | None:
    """Return that it is suspended, if it is."""
    if not trigger.suspended:
        return None
    text = "no requests are taken" if is_direct(trigger) else "events are kept, not delivered"
    return Problem(SUSPENDED, f"{text}, for spec.suspend is true", final=False)
