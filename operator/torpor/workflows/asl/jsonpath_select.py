"""Segments become functions: what a JSONPath selects, with the semantics of Jayway's library.

A definite path (names and single indices only) selects exactly one value or none; any other
selects a list, empty when nothing matches.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from torpor.expressions import values
from torpor.expressions.regex import Regex
from torpor.expressions.values import ABSENT
from torpor.workflows.asl.jsonpath_compare import COMPARE
from torpor.workflows.asl.jsonpath_nodes import (
    Call,
    Comparison,
    Condition,
    Descend,
    Filter,
    Indices,
    Literal,
    Logic,
    Names,
    Operand,
    Pattern,
    Query,
    Segment,
    Slice,
)
from torpor.workflows.asl.scope import Json


@dataclass(frozen=True, slots=True)
class Roots:
    """What the roots in a path stand for while it is evaluated."""

    data: Json
    find: Callable[[str], Json]


Select = Callable[[Json, Roots], Iterable[Json]]
"""From one node to the nodes that a segment selects there."""

Test = Callable[[Json, Roots], bool]


def is_definite(segments: tuple[Segment, ...]) -> bool:
    """Whether a path selects at most one value.

    `['a','b']` at the end counts: it selects one object with both.
    """
    if segments and isinstance(segments[-1], Call):
        segments = segments[:-1]
    return all(
        (isinstance(segment, Names) and (len(segment.names) == 1 or segment is segments[-1]))
        or (isinstance(segment, Indices) and len(segment.indices) == 1)
        for segment in segments
    )


def selector(segments: tuple[Segment, ...]) -> Callable[[Json, Roots], list[Json]]:
    """A function from the root's value to the list of all selected nodes."""
    steps = tuple(_steps(segments))

    def select(node: Json, roots: Roots) -> list[Json]:
        nodes: list[Json] = [node]
        for step in steps:
            nodes = [found for start in nodes for found in step(start, roots)]
        return nodes

    return select


def _steps(segments: tuple[Segment, ...]) -> Iterator[Select]:
    below = False
    for position, segment in enumerate(segments):
        if isinstance(segment, Descend):
            below = True
            continue
        step = _select(segment, last=position == len(segments) - 1)
        yield _everywhere(step, segment) if below else step
        below = False


def _everywhere(step: Select, segment: Segment) -> Select:
    if isinstance(segment, Filter):  # below `..` a filter tests each object itself
        test = _test(segment.condition)
        return lambda node, roots: [
            inner for inner in _walk(node) if isinstance(inner, dict) and test(inner, roots)
        ]
    return lambda node, roots: [found for inner in _walk(node) for found in step(inner, roots)]


def _walk(node: Json) -> Iterator[Json]:
    """The containers at and below a node, parents first."""
    if not isinstance(node, dict | list):
        return
    yield node
    for child in node.values() if isinstance(node, dict) else node:
        yield from _walk(child)


def _select(segment: Segment, *, last: bool) -> Select:
    match segment:
        case Names(names=(name,)):
            return lambda node, _: (node[name],) if isinstance(node, dict) and name in node else ()
        case Names(names=names) if last:
            return lambda node, _: (
                ({name: node[name] for name in names if name in node},)
                if isinstance(node, dict)
                else ()
            )
        case Names(names=names):
            return lambda node, _: (
                [node[name] for name in names if name in node] if isinstance(node, dict) else ()
            )
        case Indices(indices=indices):
            return lambda node, _: [
                node[index]
                for index in indices
                if isinstance(node, list) and -len(node) <= index < len(node)
            ]
        case Slice(bounds=bounds):
            return lambda node, _: node[bounds] if isinstance(node, list) else ()
        case Filter(condition=condition):
            return _filter(_test(condition))
        case _:
            return lambda node, _: (
                node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            )


def _filter(test: Test) -> Select:
    def select(node: Json, roots: Roots) -> Iterable[Json]:
        if isinstance(node, list):
            return [item for item in node if test(item, roots)]
        return (node,) if isinstance(node, dict) and test(node, roots) else ()

    return select


def _test(condition: Condition) -> Test:
    if isinstance(condition, Comparison):
        return _comparison(condition)
    tests = tuple(_test(inner) for inner in condition.conditions)
    match condition:
        case Logic(operator="!"):
            return lambda node, roots: not tests[0](node, roots)
        case Logic(operator="&&"):
            return lambda node, roots: all(test(node, roots) for test in tests)
        case _:
            return lambda node, roots: any(test(node, roots) for test in tests)


def _comparison(comparison: Comparison) -> Test:
    left = _operand(comparison.left)
    if comparison.operator is None or comparison.right is None:
        return lambda node, roots: left(node, roots) is not ABSENT
    if isinstance(comparison.right, Pattern):
        return _matches(left, comparison.right.regex)
    right = _operand(comparison.right)
    compare = COMPARE[comparison.operator]
    return lambda node, roots: compare(left(node, roots), right(node, roots))


def _matches(left: Callable[[Json, Roots], Json], regex: Regex) -> Test:
    def test(node: Json, roots: Roots) -> bool:
        value = left(node, roots)
        return isinstance(value, str) and regex.matches(value)

    return test


def _operand(operand: Operand) -> Callable[[Json, Roots], Json]:
    if isinstance(operand, Query):
        return _query_operand(operand)
    value = operand.value if isinstance(operand, Literal) else operand.regex.pattern
    return lambda node, roots: value


def _query_operand(query: Query) -> Callable[[Json, Roots], Json]:
    read = evaluator(query.segments)
    if query.root == "@":
        return read
    if query.root == "$":
        return lambda node, roots: read(roots.data, roots)
    return lambda node, roots: read(roots.find(query.root), roots)


def evaluator(segments: tuple[Segment, ...]) -> Callable[[Json, Roots], Json]:
    """A function from the root's value to what the path gives, `ABSENT` where it gives nothing."""
    final = segments[-1] if segments else None
    call = final if isinstance(final, Call) else None
    inner = segments[:-1] if call else segments
    select, definite = selector(inner), is_definite(inner)

    def evaluate(node: Json, roots: Roots) -> Json:
        if node is ABSENT:
            return ABSENT
        nodes = select(node, roots)
        value = (nodes[0] if nodes else ABSENT) if definite else nodes
        return value if call is None or value is ABSENT else _apply(call, value)

    return evaluate


_NUMBERS: Final[dict[str, Callable[[list[float]], float]]] = {
    "min": min,
    "max": max,
    "sum": math.fsum,
    "avg": statistics.fmean,
    "stddev": statistics.pstdev,
}


def _apply(call: Call, value: Json) -> Json:
    """A path function's result on a value; `ABSENT` where it has none there."""
    name = call.function
    if name in ("length", "size"):
        return len(value) if isinstance(value, list | dict | str) else ABSENT
    if name == "keys":
        return list(value) if isinstance(value, dict) else ABSENT
    if name == "concat":
        parts = value if isinstance(value, list) else [value]
        return "".join(str(part) for part in (*parts, *call.arguments))
    if not isinstance(value, list):
        return ABSENT
    if name in _NUMBERS:
        numbers = [item for item in (*value, *call.arguments) if values.is_number(item)]
        return _NUMBERS[name](numbers) if numbers else ABSENT
    return [*value, *call.arguments] if name == "append" else _item(call, value)


def _item(call: Call, items: list[Json]) -> Json:
    given: Json = call.arguments[0] if call.arguments else 0
    index = {"first": 0, "last": -1}.get(call.function, given)
    if not isinstance(index, int) or not -len(items) <= index < len(items):
        return ABSENT
    return items[index]
