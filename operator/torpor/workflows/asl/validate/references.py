"""What a JSONata expression may not refer to (ASL, "Using JSONata").

An expression has no context item: data comes in as `$states` and as variables only. AWS refuses a
definition whose expression starts a path from a bare name, or reads a field of `$states` that does
not exist where the expression stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from jsonata.parser import Parser

from torpor.expressions.jsonata import syntax_tree

Node = Any
"""A node of the syntax tree of jsonata-python."""

_CACHED: Final = 4096

ALWAYS = frozenset({"input", "context"})
"""The fields that `$states` has everywhere."""


@lru_cache(_CACHED)
def wrong_references(source: str, offered: frozenset[str]) -> tuple[str, ...]:
    """A message for each distinct thing that an expression must not refer to, in source order.

    `source` is the expression without its `{%` and `%}`, and must be valid; `offered` are the
    fields that `$states` has besides those it always has.
    """
    tree = syntax_tree(source)
    messages = [f"Reference to '{name}' at the top level is not supported." for name in _top(tree)]
    found = _states_fields(tree) if "$states" in source else ()
    fields = (name for name in found if name not in ALWAYS | offered)
    messages += [f"Field '$states.{name}' does not exist." for name in fields]
    return tuple(dict.fromkeys(messages))


def _top(node: Node) -> Iterator[str]:
    """The names that `node` reads where there is no context item.

    The steps of a path after the first, predicates, groups and sort terms have one.
    """
    if isinstance(node, list | tuple):
        for part in node:
            yield from _top(part)
    elif node is not None:
        yield from _top_of(node)


def _top_of(node: Node) -> Iterator[str]:
    if node.type == "name":
        yield str(node.value)
    elif node.type == "variable" and node.value in ("", "$"):
        yield f"${node.value}"
    elif node.type == "path":
        yield from _top((node.steps or [None])[0])
    elif node.type in ("lambda", "transform"):
        yield from _top(node.body)
    else:
        for part in (
            node.procedure,
            node.lhs,
            node.lhs_object,
            node.expression,
            node.expressions,
            node.arguments,
            node.condition,
            node.then,
            node._else,
            node.rhs,
            node.rhs_object,
        ):
            yield from _top(part)


def _states_fields(tree: Node) -> Iterator[str]:
    """The fields of `$states` that a tree reads, at any depth, in source order."""
    seen: set[int] = set()
    left: list[Node] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, list | tuple):
            left.extend(reversed(node))
        elif isinstance(node, Parser.Symbol) and id(node) not in seen:
            seen.add(id(node))
            yield from _own_states_field(node)
            left.extend(part for part in reversed([*vars(node).values()]) if part is not None)


def _own_states_field(node: Node) -> Iterator[str]:
    steps: list[Node] = node.steps or []
    if node.type != "path" or len(steps) < 2:
        return
    first, second = steps[0], steps[1]
    if (first.type, first.value, second.type) == ("variable", "states", "name"):
        yield str(second.value)
