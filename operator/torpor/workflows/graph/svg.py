"""A definition as a self-contained SVG; Parallel and Map are boxes around their branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from torpor.workflows.graph.layout import Layout, Link, Place, Route, Size, lay_out
from torpor.workflows.graph.model import Graph, Node, Way
from torpor.workflows.graph.palette import COLOURS, shortened
from torpor.workflows.graph.visits import Look

_CHARACTER = 6.9
_HEIGHT = 34.0
_LEAST_WIDTH = 84.0
_PADDING = 14.0
_HEADER = 24.0
_MARGIN = 16.0
_DOT = Size(18.0, 18.0)
_LABEL_HEIGHT = 16.0
_PLAIN = ("#ffffff", "#57606a")
_CURVES = {Way.CATCH: ' stroke-dasharray="5 4"'}
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="#57606a"/></marker></defs>'
)
_STYLE = (
    "text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1f2328}"
    ".label{font-size:11px;fill:#57606a}.kind{font-size:10px;fill:#57606a}"
    ".edge{fill:none;stroke:#57606a;stroke-width:1.2}"
)


@dataclass(frozen=True, slots=True)
class _Block:
    """A graph with its places, and its nodes' inner blocks laid out."""

    graph: Graph
    layout: Layout
    inner: Mapping[str, tuple[_Block, ...]]


def svg(graph: Graph, looks: Mapping[str, Look] | None = None) -> str:
    """The text of the SVG, ending with a new line."""
    block = _block(graph)
    width, height = (n + 2 * _MARGIN for n in (block.layout.size.width, block.layout.size.height))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{_STYLE}</style>",
        _TIP,
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        *_draw(block, _MARGIN, _MARGIN, looks or {}),
        "</svg>",
        "",
    ]
    return "\n".join(lines)


def _block(graph: Graph) -> _Block:
    inner = {node.id: tuple(_block(block) for block in node.blocks) for node in graph.nodes}
    sizes = {node.id: _size(node, inner[node.id]) for node in graph.nodes}
    links = [Link(e.source, e.target, _label_size(e.label)) for e in graph.edges]
    ends = [node.id for node in graph.nodes if node.ends and node.kind not in ("Succeed", "Fail")]
    if graph.start:
        sizes = {"start": _DOT, **sizes}
        links.append(Link("start", graph.start))
    if ends:
        sizes["end"] = _DOT
        links += [Link(name, "end") for name in ends]
    return _Block(graph, lay_out(sizes, links, "start" if graph.start else None), inner)


def _size(node: Node, inner: tuple[_Block, ...]) -> Size:
    title = max(_LEAST_WIDTH, len(_title(node)) * _CHARACTER + 2 * _PADDING)
    if not inner:
        return Size(title, _HEIGHT + (_HEIGHT / 2 if node.kind == "Choice" else 0))
    sizes = [block.layout.size for block in inner]
    width = sum(size.width for size in sizes) + _PADDING * (len(sizes) + 1)
    height = max(size.height for size in sizes) + _HEADER + _PADDING
    return Size(max(title, width), height)


def _title(node: Node) -> str:
    return f"{node.kind}: {node.name}" if node.blocks else node.name


def _label_size(label: str) -> Size | None:
    text = shortened(label)
    return Size(len(text) * _CHARACTER + 4, _LABEL_HEIGHT) if text else None


def _draw(block: _Block, x: float, y: float, looks: Mapping[str, Look]) -> Iterator[str]:
    edges = block.graph.edges
    for number, route in enumerate(block.layout.routes):
        edge = edges[number] if number < len(edges) else None
        style = _CURVES.get(edge.way, "") if edge else ""
        yield f'<path class="edge"{style} d="{_path(route, x, y)}" marker-end="url(#tip)"/>'
        if edge and route.label:
            yield _label(edge.label, route.label, x, y)
    for name in ("start", "end"):
        if name in block.layout.places:
            yield _dot(block.layout.places[name], x, y, hollow=name == "end")
    for node in block.graph.nodes:
        place = block.layout.places[node.id]
        yield from _node(node, place, x, y, looks.get(node.name))
        yield from _inside(block.inner[node.id], place, x, y, looks)


def _inside(
    blocks: tuple[_Block, ...], place: Place, x: float, y: float, looks: Mapping[str, Look]
) -> Iterator[str]:
    used = sum(block.layout.size.width for block in blocks) + _PADDING * (len(blocks) - 1)
    left = x + place.x + (place.size.width - used) / 2
    for block in blocks:
        yield from _draw(block, left, y + place.y + _HEADER, looks)
        left += block.layout.size.width + _PADDING


def _node(node: Node, place: Place, x: float, y: float, look: Look | None) -> Iterator[str]:
    fill, stroke = COLOURS[look] if look else _PLAIN
    left, top, size = x + place.x, y + place.y, place.size
    told = escape(f"{node.kind} {node.name}" + (f": {look}" if look else ""))
    yield f'<g data-state="{escape(node.name)}"><title>{told}</title>'
    paint = f'fill="{fill}" stroke="{stroke}"'
    yield _shape(node, left, top, size, paint)
    middle = left + size.width / 2
    baseline = top + (16 if node.blocks else size.height / 2 + 4)
    title = escape(_title(node))
    yield f'<text x="{middle:.1f}" y="{baseline:.1f}" text-anchor="middle">{title}</text>'
    yield "</g>"


def _shape(node: Node, left: float, top: float, size: Size, paint: str) -> str:
    width, height = size.width, size.height
    if node.kind == "Choice":
        down = top + height / 2
        right, bottom = left + width, top + height
        points = (
            (left + 12, top),
            (right - 12, top),
            (right, down),
            (right - 12, bottom),
            (left + 12, bottom),
            (left, down),
        )
        corners = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        return f'<polygon points="{corners}" {paint}/>'
    radius = {"Wait": height / 2, "Succeed": height / 2, "Fail": height / 2, "Task": 3.0}
    dash = ' stroke-dasharray="6 3"' if node.blocks else ""
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'rx="{radius.get(node.kind, 8.0):.1f}" {paint}{dash}/>'
    )


def _dot(place: Place, x: float, y: float, *, hollow: bool) -> str:
    radius = place.size.width / 2
    across, down = x + place.x + radius, y + place.y + radius
    paint = 'fill="#ffffff" stroke="#1f2328" stroke-width="3"' if hollow else 'fill="#1f2328"'
    return f'<circle cx="{across:.1f}" cy="{down:.1f}" r="{radius - 2:.1f}" {paint}/>'


def _label(text: str, place: Place, x: float, y: float) -> str:
    left, top = x + place.x, y + place.y
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{place.size.width:.1f}" '
        f'height="{place.size.height:.1f}" fill="#ffffff"/>'
        f'<text class="label" x="{x + place.middle:.1f}" y="{top + 12:.1f}" text-anchor="middle">'
        f"{escape(shortened(text))}<title>{escape(text)}</title></text>"
    )


def _path(route: Route, x: float, y: float) -> str:
    """A curve through the route's places, from side to side; up when the edge leads back."""
    places = route.places
    if places[0] is places[-1]:
        return _loop(places[0], x, y)
    up = places[0].y > places[-1].y
    points = [(place.middle, place.y if up else place.bottom) for place in places[:1]]
    for place in places[1:-1]:
        near, far = (place.bottom, place.y) if up else (place.y, place.bottom)
        points += [(place.middle, near), (place.middle, far)]
    last = places[-1]
    points.append((last.middle, last.bottom if up else last.y))
    shifted = [(px + x, py + y) for px, py in points]
    parts = [f"M{shifted[0][0]:.1f},{shifted[0][1]:.1f}"]
    for (ax, ay), (bx, by) in pairwise(shifted):
        half = (ay + by) / 2
        parts.append(f"C{ax:.1f},{half:.1f} {bx:.1f},{half:.1f} {bx:.1f},{by:.1f}")
    return " ".join(parts)


def _loop(place: Place, x: float, y: float) -> str:
    right, top = x + place.x + place.size.width, y + place.y
    low = top + place.size.height
    out = right + 24
    end = f"{right:.1f},{top + 8:.1f}"
    return f"M{right:.1f},{low - 8:.1f} C{out:.1f},{low:.1f} {out:.1f},{top:.1f} {end}"
