"""An execution as a drawing: its definition's nodes and edges, each node as it stands. Pure.

What happened is read from the events of GetExecutionHistory, as AWS tells them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from torpor.workflows.graph import Graph, Node, Visit, looks, visits
from torpor.workflows.graph.visits import FAILURES, Look, state_of_events

Events = Sequence[Mapping[str, Any]]

WAITING: Final = "waiting"
"""How a state stands that was not entered; the others are those of `Look`."""
_TEXT: Final = 2_000
_MAPPED: Final = {
    "MapIterationStarted": "started",
    "MapIterationSucceeded": "succeeded",
    "MapIterationFailed": "failed",
    "MapIterationAborted": "failed",
}


@dataclass(frozen=True, slots=True)
class _Stand:
    """What the history says of the states, by name."""

    visits: Mapping[str, Visit]
    looks: Mapping[str, Look]
    errors: Mapping[str, str]
    items: Mapping[str, Mapping[str, int]]


def graph_json(graph: Graph, history: Events) -> dict[str, Any]:
    """Return the graph with `status`, times and tries in each node; Parallel and Map have blocks.

    Times are seconds since 1970; `seconds` is None while a state is not left. `entered` counts how
    often a state was entered, `tries` the tasks of its last time, `items` those of a Map by name of
    what became of them.
    """
    stand = _Stand(visits(history), looks(history), _errors(history), _items(history))
    return _graph(graph, stand)


def history_json(history: Events) -> list[dict[str, Any]]:
    """Return the events with the state that each is about, and what it says of an error."""
    at = state_of_events(history)
    return [
        {
            "id": event["id"],
            "type": event["type"],
            "at": event["timestamp"],
            "state": at[event["id"]],
            "text": _text_of(event),
        }
        for event in history
    ]


def _graph(graph: Graph, stand: _Stand) -> dict[str, Any]:
    return {
        "start": graph.start,
        "nodes": [_node(node, stand) for node in graph.nodes],
        "edges": [
            {
                "source": edge.source,
                "target": edge.target,
                "way": edge.way.value,
                "label": edge.label,
            }
            for edge in graph.edges
        ],
    }


def _node(node: Node, stand: _Stand) -> dict[str, Any]:
    visit = stand.visits.get(node.name) or Visit(node.kind)
    look = stand.looks.get(node.name)
    entered, exited = visit.entered_at, visit.exited_at
    return {
        "id": node.id,
        "name": node.name,
        "kind": node.kind,
        "ends": node.ends,
        "status": look.value if look else WAITING,
        "entered": visit.entered,
        "exited": visit.exited,
        "tries": visit.tries,
        "enteredAt": entered,
        "seconds": None if entered is None or exited is None else max(0.0, exited - entered),
        "error": stand.errors.get(node.name),
        "items": stand.items.get(node.name),
        "blocks": [_graph(block, stand) for block in node.blocks],
    }


def _errors(history: Events) -> dict[str, str]:
    """The last error of each state that had one."""
    at = state_of_events(history)
    return {
        at[event["id"]]: _text_of(event)
        for event in history
        if event["type"].endswith(FAILURES) and at[event["id"]]
    }


def _items(history: Events) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    at = state_of_events(history)
    for event in history:
        if event["type"] == "MapStateStarted":
            length = _details(event).get("length")
            found[at[event["id"]]] = {
                "total": int(length or 0),
                **dict.fromkeys(_MAPPED.values(), 0),
            }
        elif word := _MAPPED.get(event["type"]):
            counts = found.get(str(_details(event).get("name", "")))
            if counts is not None:
                counts[word] += 1
    return found


def _text_of(event: Mapping[str, Any]) -> str:
    details = _details(event)
    parts = [str(details[name]) for name in ("error", "cause") if details.get(name)]
    return ": ".join(parts)[:_TEXT]


def _details(event: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (value for name, value in event.items() if name.endswith("EventDetails"))
    return next(found, {})
