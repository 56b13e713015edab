"""Mermaid's flowchart of a definition: Parallel and Map are subgraphs, Choice edges have labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torpor.workflows.graph.model import Graph, Node, Way
from torpor.workflows.graph.palette import COLOURS, shortened
from torpor.workflows.graph.visits import Look

_SHAPES = {
    "Choice": ('{"', '"}'),
    "Wait": ('(["', '"])'),
    "Succeed": ('(("', '"))'),
    "Fail": ('(("', '"))'),
    "Pass": ('("', '")'),
}
_ARROWS = {Way.CATCH: "-.->"}


def mermaid(graph: Graph, looks: Mapping[str, Look] | None = None) -> str:
    """The text of the flowchart, ending with a new line."""
    lines = ["flowchart TD", *_block(graph, "  ", "")]
    for look, (fill, stroke) in COLOURS.items():
        named = [node.id for node in _all(graph) if (looks or {}).get(node.name) is look]
        if named:
            lines.append(f"  classDef {look} fill:{fill},stroke:{stroke}")
            lines.append(f"  class {','.join(named)} {look}")
    return "\n".join([*lines, ""])


def _all(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for block in node.blocks:
            yield from _all(block)


def _block(graph: Graph, indent: str, prefix: str) -> Iterator[str]:
    first, last = f"{prefix}start", f"{prefix}stop"
    if graph.start:
        yield f'{indent}{first}(("start")) --> {graph.start}'
    for node in graph.nodes:
        yield from _node(node, indent)
        if node.ends:
            yield f"{indent}{node.id} --> {last}"
    if any(node.ends for node in graph.nodes):
        yield f'{indent}{last}(("end"))'
    for edge in graph.edges:
        arrow = _ARROWS.get(edge.way, "-->")
        label = f'|"{_quoted(shortened(edge.label))}"|' if edge.label else ""
        yield f"{indent}{edge.source} {arrow}{label} {edge.target}"


def _node(node: Node, indent: str) -> Iterator[str]:
    text = _quoted(node.name)
    if not node.blocks:
        left, right = _SHAPES.get(node.kind, ('["', '"]'))
        yield f"{indent}{node.id}{left}{text}{right}"
        return
    yield f'{indent}subgraph {node.id}["{_quoted(node.kind)}: {text}"]'
    for number, block in enumerate(node.blocks):
        yield from _block(block, indent + "  ", f"{node.id}_{number}_")
    yield f"{indent}end"


def _quoted(text: str) -> str:
    """The text as it may stand between quotes, with Mermaid's entity codes."""
    replaced = text.replace("#", "#35;").replace('"', "#quot;").replace("`", "#96;")
    replaced = replaced.replace("<", "#lt;").replace(">", "#gt;")
    return " ".join(replaced.split())
