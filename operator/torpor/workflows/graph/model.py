"""A definition as nodes and edges; a Parallel or Map is a node that holds graphs of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from torpor.workflows.asl.scope import Json
from torpor.workflows.graph.rules import rule_text


class Way(Enum):
    """Why an execution takes an edge."""

    NEXT = "next"
    CHOICE = "choice"
    DEFAULT = "default"
    CATCH = "catch"


@dataclass(frozen=True, slots=True)
class Edge:
    """From one node to another of the same graph, by their ids; `label` may be empty."""

    source: str
    target: str
    way: Way
    label: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """One state. `id` is unique in the whole definition, and a word; `ends` its block."""

    id: str
    name: str
    kind: str
    ends: bool
    blocks: tuple[Graph, ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """The states of one block in the order of the document; `start` is a node's id, or None."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    start: str | None


def read_graph(definition: Mapping[str, Json], prefix: str = "s") -> Graph:
    """The graph of a definition; a transition to a state that is not there is left out."""
    states: Mapping[str, Json] = definition.get("States") or {}
    ids = {name: f"{prefix}{number}" for number, name in enumerate(states)}
    return Graph(
        tuple(_node(ids[name], name, state) for name, state in states.items()),
        tuple(edge for name, state in states.items() for edge in _edges(ids, name, state)),
        ids.get(definition.get("StartAt", "")),
    )


def _node(id: str, name: str, state: Mapping[str, Json]) -> Node:
    inner = list(state.get("Branches") or ())
    inner += [state[field] for field in ("ItemProcessor", "Iterator") if state.get(field)]
    blocks = tuple(read_graph(block, f"{id}_{n}_") for n, block in enumerate(inner))
    kind = str(state.get("Type", ""))
    return Node(id, name, kind, bool(state.get("End")) or kind in ("Succeed", "Fail"), blocks)


def _edges(ids: Mapping[str, str], name: str, state: Mapping[str, Json]) -> Iterator[Edge]:
    for target, way, label in _transitions(state):
        if target in ids:
            yield Edge(ids[name], ids[target], way, label)


def _transitions(state: Mapping[str, Json]) -> Iterator[tuple[str, Way, str]]:
    for rule in state.get("Choices") or ():
        yield rule.get("Next", ""), Way.CHOICE, rule_text(rule)
    if "Default" in state:
        yield state["Default"], Way.DEFAULT, "otherwise"
    if "Next" in state:
        yield state["Next"], Way.NEXT, ""
    for catcher in state.get("Catch") or ():
        yield catcher.get("Next", ""), Way.CATCH, ", ".join(catcher.get("ErrorEquals") or ())
