"""Event patterns under any pattern and any event: only `PatternError`, and the index is right.

The oracle of array consistency is event-ruler's definition itself: some choice of one value for
each field whose places agree pairwise, found by trying all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.filter.index import Index
from torpor.triggers.filter.pattern import Pattern, compile_pattern, parse_pattern
from torpor.triggers.filter.pattern_error import PatternError
from torpor.triggers.filter.pattern_text import Limits

NAMES = st.sampled_from(["a", "b", "c", "a.b", "a-b", ""])
TEXTS = st.sampled_from(["", "x", "xy", "xyx", "X", "10.0.0.1", "::1", "*"])
NUMBERS = st.sampled_from([0, 1, 2, 1.5, -1, 10**30])
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none())
EVENTS = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
        ),
        max_leaves=12,
    ),
    max_size=4,
)
OPERATORS = st.one_of(
    st.fixed_dictionaries({"prefix": TEXTS}),
    st.fixed_dictionaries({"suffix": TEXTS}),
    st.fixed_dictionaries({"equals-ignore-case": TEXTS}),
    st.fixed_dictionaries({"prefix": st.fixed_dictionaries({"equals-ignore-case": TEXTS})}),
    st.fixed_dictionaries({"wildcard": st.sampled_from(["*", "x*", "*y", "x*x", "*y*"])}),
    st.fixed_dictionaries({"anything-but": st.one_of(TEXTS, st.sampled_from([1, [1, 2], ["x"]]))}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"prefix": st.just(["x", "1"])})}),
    st.fixed_dictionaries({"numeric": st.sampled_from([[">", 0], ["=", 1], [">=", 0, "<", 2]])}),
    st.fixed_dictionaries({"cidr": st.sampled_from(["10.0.0.0/8", "::/64"])}),
    st.fixed_dictionaries({"exists": st.booleans()}),
)
LEAVES = st.lists(st.one_of(SCALARS, SCALARS, OPERATORS), min_size=1, max_size=3)
INNER = st.dictionaries(NAMES, LEAVES, min_size=1, max_size=2)
OBJECTS = st.dictionaries(NAMES, st.one_of(LEAVES, LEAVES, INNER), min_size=1, max_size=3)
PATTERNS = st.one_of(
    OBJECTS,
    st.builds(
        lambda beside, branches: {**beside, "$or": branches},
        OBJECTS,
        st.lists(OBJECTS, min_size=2, max_size=3),
    ),
)
JSON = st.recursive(
    st.one_of(SCALARS, st.text(max_size=5), st.floats(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(
                NAMES,
                st.text(max_size=3),
                st.sampled_from(
                    [
                        "$or",
                        "prefix",
                        "numeric",
                        "anything-but",
                        "cidr",
                        "exists",
                        "wildcard",
                        "equals-ignore-case",
                    ]
                ),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=15,
)
OBJECTS_OF_ANY_KIND = st.dictionaries(st.text(max_size=3) | NAMES | st.just("$or"), JSON)


@given(OBJECTS_OF_ANY_KIND, EVENTS)
def test_any_object_is_compiled_or_refused(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    with suppress(PatternError):
        assert compile_pattern(pattern).matches(event) in (True, False)


@given(st.one_of(st.text(), JSON.map(json.dumps)))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    with suppress(PatternError):
        assert parse_pattern(text).matches({}) in (True, False)


@given(PATTERNS, OBJECTS_OF_ANY_KIND)
def test_any_event_is_matched_or_not(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    assert compile_pattern(pattern).matches(event) in (True, False)


@given(PATTERNS)
def test_text_and_value_are_the_same_pattern(pattern: dict[str, Any]) -> None:
    read = parse_pattern(json.dumps(pattern), Limits(text_bytes=100_000))
    assert read.conjunctions == compile_pattern(pattern).conjunctions


BITS = st.sampled_from([0, 1])
ELEMENTS = st.recursive(
    st.dictionaries(st.sampled_from("bc"), BITS, min_size=1),
    lambda inner: st.one_of(
        st.lists(inner | BITS, min_size=1, max_size=3),
        st.fixed_dictionaries({"b": BITS, "c": inner}),
    ),
    max_leaves=8,
)
ARRAYS = st.fixed_dictionaries({"a": st.lists(ELEMENTS, min_size=1, max_size=3)})
ASKED = st.sampled_from([[0], [1], [{"exists": True}], [{"exists": False}]])
OF_ELEMENTS = st.sampled_from(["a", "a.b", "a.c", "a.c.b", "a.c.c"])
OF_ARRAYS = st.dictionaries(OF_ELEMENTS, ASKED, min_size=2, max_size=3)


@given(st.one_of(PATTERNS, OF_ARRAYS), st.one_of(EVENTS, ARRAYS))
def test_whatever_the_event_a_match_is_by_definition(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.matches(event) is by_definition(compiled, event)


@given(OF_ARRAYS, ARRAYS)
def test_a_match_is_within_one_element_of_each_array(
    pattern: dict[str, Any], event: dict[str, Any]
) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.matches(event) is by_definition(compiled, event)


@given(st.lists(PATTERNS, max_size=40), st.lists(EVENTS, min_size=1, max_size=5), st.data())
def test_the_index_finds_what_each_pattern_matches(
    patterns: list[dict[str, Any]], events: list[dict[str, Any]], data: st.DataObject
) -> None:
    index: Index[int] = Index()
    kept = {number: compile_pattern(pattern) for number, pattern in enumerate(patterns)}
    for number, compiled in kept.items():
        index.add(number, compiled)
    for number in data.draw(st.sets(st.sampled_from(sorted(kept)))) if kept else ():
        index.remove(number)
        del kept[number]
    for event in events:
        expected = {number for number, compiled in kept.items() if compiled.matches(event)}
        assert index.matching(event) == expected


Where = dict[int, int]
"""The element that a value is in, for each array around it."""


def by_definition(pattern: Pattern, event: dict[str, Any]) -> bool:
    """Whether an event matches, by trying every choice of values."""
    leaves = list(_leaves(event, None, {}, iter(range(10_000))))
    return any(_choice(each.conditions, leaves, {}) for each in pattern.conjunctions)


def _choice(conditions: Any, leaves: list[tuple[str, Any, Where]], so_far: Where) -> bool:
    if not conditions:
        return True
    first, *rest = conditions
    agreeing = [
        (value, so_far | where)
        for field, value, where in leaves
        if field == first.field
        and all(so_far.get(array, index) == index for array, index in where.items())
    ]
    if first.absent and not agreeing and _choice(rest, leaves, so_far):
        return True
    return any(first.accepts(value) and _choice(rest, leaves, to) for value, to in agreeing)


def _leaves(
    node: Any, field: str | None, where: Where, arrays: Iterator[int]
) -> Iterator[tuple[str, Any, Where]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, name if field is None else f"{field}.{name}", where, arrays)
    elif isinstance(node, list):
        array = next(arrays)
        for index, element in enumerate(node):
            nested = isinstance(element, dict | list)
            inside = where | {array: index} if nested else where
            yield from _leaves(element, field, inside, arrays)
    elif field is not None:
        yield field, node, where
