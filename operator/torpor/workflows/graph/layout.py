"""Where the nodes and edges of a graph go: a small layered layout (Sugiyama, Tagawa, Toda 1981).

Edges that lead back are turned round for the time of the layout; long edges, and those with a
label, pass through points of their own in every layer between. Sizes and places are in pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

LAYER_GAP = 26.0
NODE_GAP = 22.0
POINT_WIDTH = 10.0
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height."""

    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Link:
    """An edge to be laid out; `label` is the room that its label needs, None without one."""

    source: str
    target: str
    label: Size | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The top left corner of something, and its size."""

    x: float
    y: float
    size: Size

    @property
    def middle(self) -> float:
        """The x of its centre."""
        return self.x + self.size.width / 2

    @property
    def bottom(self) -> float:
        """The y of its lower side."""
        return self.y + self.size.height


@dataclass(frozen=True, slots=True)
class Route:
    """The places that an edge passes, from its source to its target; `label` is one of them."""

    places: tuple[Place, ...]
    label: Place | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Every node's place, every link's route in the order given, and the size of all."""

    places: Mapping[str, Place]
    routes: tuple[Route, ...]
    size: Size


@dataclass(slots=True)
class _Layers:
    """Names by layer, the sizes of all names, and which are joined across neighbouring layers."""

    rows: list[list[str]]
    sizes: dict[str, Size]
    above: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    below: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def lay_out(sizes: Mapping[str, Size], links: Sequence[Link], first: str | None) -> Layout:
    """Lay out nodes of these sizes; `first` is put on top."""
    back = _back_links(sizes, links, first)
    turned = [Link(k.target, k.source, k.label) if k in back else k for k in links]
    ranks = _ranks(sizes, turned)
    layers, chains = _layers(sizes, turned, ranks)
    _order(layers)
    places = _places(layers)
    routes = tuple(
        _route(chain, places, link, turn=link in back)
        for chain, link in zip(chains, links, strict=True)
    )
    return Layout({name: places[name] for name in sizes}, routes, _extent(places.values()))


def _extent(places: Collection[Place]) -> Size:
    width = max((place.x + place.size.width for place in places), default=0.0)
    return Size(width, max((place.bottom for place in places), default=0.0))


def _back_links(sizes: Mapping[str, Size], links: Sequence[Link], first: str | None) -> set[Link]:
    """The links that close a cycle on a walk in depth from `first`, a link to itself included."""
    outgoing: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        outgoing[link.source].append(link)
    back: set[Link] = set()
    done: set[str] = set()
    for root in ([first] if first else []) + list(sizes):
        if root in done:
            continue
        active = {root}
        stack = [(root, iter(outgoing[root]))]
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                stack.pop()
                active.discard(name)
                done.add(name)
            elif following.target in active:
                back.add(following)
            elif following.target not in done:
                active.add(following.target)
                stack.append((following.target, iter(outgoing[following.target])))
    return back


def _ranks(sizes: Mapping[str, Size], links: Sequence[Link]) -> dict[str, int]:
    """The longest way to each node; a link with a label is two layers long."""
    incoming: dict[str, int] = dict.fromkeys(sizes, 0)
    outgoing: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        if link.source != link.target:
            incoming[link.target] += 1
            outgoing[link.source].append(link)
    ranks = dict.fromkeys(sizes, 0)
    ready = [name for name, count in incoming.items() if not count]
    while ready:
        name = ready.pop()
        for link in outgoing[name]:
            ranks[link.target] = max(ranks[link.target], ranks[name] + (2 if link.label else 1))
            incoming[link.target] -= 1
            if not incoming[link.target]:
                ready.append(link.target)
    return ranks


def _layers(
    sizes: Mapping[str, Size], links: Sequence[Link], ranks: Mapping[str, int]
) -> tuple[_Layers, list[list[str]]]:
    depth = max(ranks.values(), default=0) + 1
    layers = _Layers([[] for _ in range(depth)], dict(sizes))
    for name in sizes:
        layers.rows[ranks[name]].append(name)
    chains = [_chain(layers, link, number, ranks) for number, link in enumerate(links)]
    return layers, chains


def _chain(layers: _Layers, link: Link, number: int, ranks: Mapping[str, int]) -> list[str]:
    """The names from source to target, with a point in every layer between them."""
    between = range(ranks[link.source] + 1, ranks[link.target])
    chain = [link.source]
    for rank in between:
        name = f"\0{number}/{rank}"
        labelled = link.label is not None and rank == between[0]
        layers.sizes[name] = link.label if labelled and link.label else Size(POINT_WIDTH, 0.0)
        layers.rows[rank].append(name)
        chain.append(name)
    chain.append(link.target)
    if link.source != link.target:
        for upper, lower in pairwise(chain):
            layers.below[upper].append(lower)
            layers.above[lower].append(upper)
    return chain


def _order(layers: _Layers) -> None:
    """Sort each layer by the middle of its neighbours, down and up in turn."""
    for sweep in range(_SWEEPS):
        near = layers.above if sweep % 2 == 0 else layers.below
        rows = layers.rows if sweep % 2 == 0 else layers.rows[::-1]
        for before, row in pairwise(rows):
            place = {name: number for number, name in enumerate(before)}
            keys = {
                name: _median([place[n] for n in near[name] if n in place], float(number))
                for number, name in enumerate(row)
            }
            row.sort(key=keys.__getitem__)


def _median(values: list[int], otherwise: float) -> float:
    if not values:
        return otherwise
    values.sort()
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _places(layers: _Layers) -> dict[str, Place]:
    centres: dict[str, float] = {}
    for row in layers.rows:
        _spread(row, layers.sizes, dict.fromkeys(row, 0.0), centres)
    for sweep in range(_SWEEPS):
        near = layers.above if sweep % 2 == 0 else layers.below
        for row in layers.rows if sweep % 2 == 0 else layers.rows[::-1]:
            wanted = {name: _mean([centres[n] for n in near[name]], centres[name]) for name in row}
            _spread(row, layers.sizes, wanted, centres)
    left = min((centres[n] - layers.sizes[n].width / 2 for n in centres), default=0.0)
    places: dict[str, Place] = {}
    y = 0.0
    for row in layers.rows:
        height = max((layers.sizes[name].height for name in row), default=0.0)
        for name in row:
            size = layers.sizes[name]
            x = centres[name] - size.width / 2 - left
            places[name] = Place(x, y + (height - size.height) / 2, size)
        y += height + LAYER_GAP
    return places


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(
    row: Sequence[str],
    sizes: Mapping[str, Size],
    wanted: Mapping[str, float],
    centres: dict[str, float],
) -> None:
    """Put a row as near to where it wants as its widths allow (pool adjacent violators)."""
    offsets: list[float] = []
    reach = 0.0
    for number, name in enumerate(row):
        if number:
            reach += (sizes[row[number - 1]].width + sizes[name].width) / 2 + NODE_GAP
        offsets.append(reach)
    pools: list[tuple[float, int]] = []
    for name, offset in zip(row, offsets, strict=True):
        total, count = wanted[name] - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    bases = [total / count for total, count in pools for _ in range(count)]
    for name, offset, base in zip(row, offsets, bases, strict=True):
        centres[name] = base + offset


def _route(chain: list[str], places: Mapping[str, Place], link: Link, *, turn: bool) -> Route:
    found = tuple(places[name] for name in chain)
    label = found[1] if link.label and len(found) > 2 else None
    return Route(found[::-1] if turn else found, label)
