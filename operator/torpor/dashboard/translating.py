"""From what roles tell to what the page shows: the same for a session and for a cluster. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from torpor.dashboard.encoding import encoded
from torpor.dashboard.model import (
    CUT,
    EventSeen,
    ExecutionSeen,
    Json,
    TriggerSeen,
    TriggerState,
)
from torpor.dashboard.sources import NotThere
from torpor.functions.runs.progress import understood
from torpor.resources.run import Run
from torpor.resources.trace_context import beginning
from torpor.resources.trigger import SourceKind, Trigger
from torpor.telemetry.spanstore import SpanStore
from torpor.triggers.latest import LatestEvent
from torpor.triggers.standings import STARTING, SUBSCRIBED, Standing
from torpor.workflows.latest import LatestExecution

_PLACES: Final[Mapping[SourceKind, tuple[str, ...]]] = {
    SourceKind.HTTP: ("methods", "path"),
    SourceKind.SCHEDULE: ("cron", "every", "at"),
    SourceKind.QUEUE: ("name",),
    SourceKind.BUS: ("name",),
    SourceKind.STORAGE: ("bucket", "prefix"),
    SourceKind.POSTGRES: ("tables",),
    SourceKind.MQTT: ("topics",),
    SourceKind.KAFKA: ("topics",),
    SourceKind.RABBITMQ: ("queue",),
    SourceKind.REDIS: ("stream",),
    SourceKind.KUBERNETES: ("kind",),
}
"""The fields of a source that people know it by; those that it has not are left out."""
_MOST_RESULT_BYTES: Final = 1_000
"""Of a run: a larger result is a list of what many indexes left."""


def trace_id(traceparent: str) -> str:
    """Return the id of the trace that a W3C traceparent names; empty if it is none."""
    found = beginning(traceparent)
    return (found and found.trace_id) or ""


def execution(found: LatestExecution, now: float) -> ExecutionSeen:
    """Return an execution; `now` is Unix time."""
    end = now if found.stopped_at is None else found.stopped_at
    return ExecutionSeen(
        found.arn,
        found.workflow,
        found.name,
        found.status,
        found.states,
        found.started_at,
        max(0.0, end - found.started_at),
        found.error,
        found.trace_id,
    )


def run(found: Run, traceparent: str) -> Json:
    """Return a run, bounded: of whoever writes a Job is what a cluster's runs are read from."""
    return {
        **found.to_json(),
        "progress": understood(found.progress),
        "result": _brief(found.result),
        "traceId": trace_id(traceparent),
    }


def _brief(result: Any) -> Any:
    told = encoded(result)
    return orjson.loads(told) if len(told) <= _MOST_RESULT_BYTES else CUT


def trigger(found: Trigger, standing: Standing | None, *, is_direct: bool) -> TriggerSeen:
    """Return a Trigger as the events role has it; a direct one is served by the gateway alone."""
    source, target = _source(found), f"{found.target.kind.value}/{found.target.name}"
    names = (found.key.namespace, found.key.name, source, target)
    if standing is None:
        state = TriggerState.READY if is_direct else TriggerState.STARTING
        return TriggerSeen(*names, state, "", 0, 0, 0)
    told = ": ".join(filter(None, (standing.reason, standing.message)))
    return TriggerSeen(
        *names,
        _state(standing),
        "" if standing.reason == SUBSCRIBED else told,
        standing.lag,
        standing.waiting,
        standing.dead_letters,
    )


def _state(standing: Standing) -> TriggerState:
    if standing.suspended:
        return TriggerState.PAUSED
    if standing.subscribed:
        return TriggerState.READY
    return TriggerState.STARTING if standing.reason == STARTING else TriggerState.FAILING


def event(found: LatestEvent) -> EventSeen:
    """Return an event of a bus."""
    return EventSeen(
        found.bus,
        found.id,
        found.source,
        found.type,
        found.subject,
        found.time,
        trace_id(found.traceparent),
    )


def trace(spans: SpanStore, wanted: str) -> Json:
    """Return a trace as a tree; NotThere."""
    tree = spans.tree(wanted)
    if tree is None:
        raise NotThere(f"there is no trace {wanted}, or it is forgotten by now")
    return tree.as_json()


def _source(found: Trigger) -> str:
    settings = found.source.settings
    told = [_text(settings[name]) for name in _PLACES[found.source.kind] if settings.get(name)]
    return f"{found.source.kind.value}/{' '.join(told)}"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
