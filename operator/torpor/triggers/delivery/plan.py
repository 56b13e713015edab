"""A Trigger in force, compiled: all that its deliveries need, made once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torpor.resources import trigger
from torpor.resources.names import FunctionKey
from torpor.resources.trigger import TargetKind, Trigger
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.aftermath import Aftermath
from torpor.triggers.delivery.breaker import Breaker
from torpor.triggers.delivery.call_target import CallTarget
from torpor.triggers.delivery.dedupe import Deduplication, dedupe_bucket
from torpor.triggers.delivery.parts import DeliveryParts
from torpor.triggers.delivery.targets import Target, open_target
from torpor.triggers.filter.compiled import CompiledFilter, compile_filter
from torpor.triggers.implied import Role
from torpor.triggers.standings import TargetFacts
from torpor.triggers.transform import Transform, compile_transform

_UNKNOWN_SECONDS = 3_600.0
"""How long a Function may take of which the controller has said nothing: the longest there is."""
_WAKING_SECONDS = 120.0
"""What a gateway may hold a request for, besides."""
_PROMPT_SECONDS = 30.0
"""For a workflow, bus, queue or Job Function to take an event."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One Trigger's deliveries. `absent`: the target does not exist, and events wait.

    An attempt takes `timeout_seconds` at the most, and goes on for `working_seconds` at the most
    after whoever made it died: nobody waits for a Function to wake then. `aftermath` is of a
    Function's asynchronous calls.
    """

    trigger: Trigger
    filter: CompiledFilter
    transform: Transform | None
    target: Target
    fallback: Target | None
    last_resort: Target | None
    breaker: Breaker | None
    dedupe: Deduplication | None
    timeout_seconds: float
    working_seconds: float
    absent: bool
    aftermath: Aftermath | None = None


def compile_plan(definition: Definition, parts: DeliveryParts) -> Plan:
    """Return the plan of a definition.

    InvalidResource, PatternError, CesqlError and ValueError say what is wrong with it.
    """
    facts = _facts(definition.facts)
    found = _trigger(definition.trigger, facts)
    spec = found.delivery
    working_seconds, waking_seconds = _allowed_seconds(found, facts)
    unchanged = found.transform.jsonata is None and found.transform.input is None

    def opened(target: trigger.Target | None) -> Target | None:
        return None if target is None else open_target(found, target, parts.world)

    breaker = spec.circuit_breaker
    return Plan(
        trigger=found,
        filter=compile_filter(found.filter),
        transform=None if unchanged else compile_transform(found.transform),
        target=_target(definition, parts),
        fallback=None if breaker is None else opened(breaker.fallback),
        last_resort=opened(found.dead_letter.target),
        breaker=None if breaker is None else Breaker(breaker),
        dedupe=_dedupe(found, parts, spec.timeout_seconds or working_seconds),
        timeout_seconds=spec.timeout_seconds or working_seconds + waking_seconds,
        working_seconds=spec.timeout_seconds or working_seconds,
        absent=facts is not None and not facts.exists,
        aftermath=_aftermath(definition, parts),
    )


def _trigger(found: Trigger, facts: TargetFacts | None) -> Trigger:
    """Return the Trigger as it is delivered: a Job Function takes events one by one.

    A run is found again by its key, and of a batch there is none: what comes again comes in other
    company.
    """
    return replace(found, batch=None) if facts and facts.is_job else found


def _target(definition: Definition, parts: DeliveryParts) -> Target:
    found, implied = definition.trigger, definition.implied
    if implied is not None and implied.role is Role.CALLS:
        key = FunctionKey(found.key.namespace, implied.function)
        return CallTarget(parts.world.invoker, key)
    return open_target(found, found.target, parts.world, _facts(definition.facts))


def _aftermath(definition: Definition, parts: DeliveryParts) -> Aftermath | None:
    implied, world = definition.implied, parts.world
    if implied is None or not implied.told:
        return None
    return Aftermath(definition.trigger, implied, world.publisher, world.objects, parts.wall)


def _dedupe(found: Trigger, parts: DeliveryParts, working_seconds: float) -> Deduplication | None:
    if found.dedupe is None:
        return None
    bucket = dedupe_bucket(parts.connection, found.dedupe, working_seconds)
    return Deduplication(bucket, found.key, found.dedupe, parts.wall)


def _allowed_seconds(found: Trigger, facts: TargetFacts | None) -> tuple[float, float]:
    """How long the target may work, and how long it may take to wake."""
    if found.target.kind is not TargetKind.FUNCTION or (facts and facts.is_job):
        return _PROMPT_SECONDS, 0.0
    allowed = facts.timeout_seconds if facts is not None else 0.0
    return allowed or _UNKNOWN_SECONDS, _WAKING_SECONDS


def _facts(found: Mapping[str, Any]) -> TargetFacts | None:
    return TargetFacts.from_json(found) if found else None
