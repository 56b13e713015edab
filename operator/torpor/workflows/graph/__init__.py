"""Draws a definition as Mermaid or SVG, with the states of one execution coloured. Pure."""

from torpor.workflows.graph.mermaid import mermaid
from torpor.workflows.graph.model import Edge, Graph, Node, Way, read_graph
from torpor.workflows.graph.svg import svg
from torpor.workflows.graph.visits import Look, Visit, looks, visits

__all__ = [
    "Edge",
    "Graph",
    "Look",
    "Node",
    "Visit",
    "Way",
    "looks",
    "mermaid",
    "read_graph",
    "svg",
    "visits",
]
