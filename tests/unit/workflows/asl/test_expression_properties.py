"""Properties of expressions over arbitrary JSON."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse as independent_parse

from tests.unit.workflows.asl.expressions import a_scope
from torpor.expressions.values import ABSENT, equal, identity
from torpor.workflows.asl.choice_operators import string_pattern
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics import compile_intrinsic
from torpor.workflows.asl.jsonata import Expression, compile_jsonata
from torpor.workflows.asl.jsonpath import PathNotFound, compile_path, write_reference
from torpor.workflows.asl.scope import Json, Scope

NAMES = st.sampled_from(["a", "b", "c", "d-e", "_f"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
VALUES: st.SearchStrategy[Json] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
STEPS = st.lists(NAMES | st.integers(0, 3), min_size=1, max_size=4)


def path_text(steps: list[str | int]) -> str:
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def call(text: str, data: Json) -> Json:
    return compile_intrinsic(text).evaluate(a_scope(data), data)


def read(path: str, data: Json) -> Json:
    try:
        return compile_path(path).read(a_scope(data), data)
    except PathNotFound:
        return ABSENT


@given(VALUES)
def test_parsing_what_was_printed_gives_the_value_back(value: Json) -> None:
    assert equal(call("States.StringToJson(States.JsonToString($.v))", {"v": value}), value)


@given(st.lists(VALUES, max_size=8), st.integers(1, 5))
def test_partitions_joined_are_the_array(items: list[Json], size: int) -> None:
    parts = call("States.ArrayPartition($.items, $.size)", {"items": items, "size": size})
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])


@given(st.text(max_size=40))
def test_decoding_what_was_encoded_gives_the_text_back(text: str) -> None:
    assume(text.isprintable() or not any("\ud800" <= letter <= "\udfff" for letter in text))
    assert call("States.Base64Decode(States.Base64Encode($.t))", {"t": text}) == text


@given(st.lists(VALUES, max_size=8))
def test_unique_items_are_each_there_once(items: list[Json]) -> None:
    unique = call("States.ArrayUnique($.i)", {"i": items})
    assert all(any(equal(item, kept) for kept in unique) for item in items)
    assert not any(equal(a, b) for at, a in enumerate(unique) for b in unique[at + 1 :])


@given(VALUES, VALUES)
def test_values_are_equal_exactly_when_their_identities_are(left: Json, right: Json) -> None:
    assert equal(left, right) is (identity(left) == identity(right))
    assert equal(left, left)


@given(OBJECTS, st.lists(NAMES, min_size=1, max_size=3), VALUES)
def test_what_is_written_is_read_back(document: Json, names: list[str], value: Json) -> None:
    path = path_text([*names])
    for end in range(1, len(names)):
        assume(isinstance(read(path_text([*names[:end]]), document), dict | type(ABSENT)))
    before = repr(document)
    written = write_reference(path, document, value)
    assert read(path, written) is value
    assert repr(document) == before


@given(VALUES, STEPS)
def test_a_plain_path_agrees_with_an_independent_library(
    data: Json, steps: list[str | int]
) -> None:
    path = path_text(steps)
    node: Json = data
    for step in steps:  # the library indexes texts and wraps scalars; Jayway's does neither
        if isinstance(step, int):
            assume(isinstance(node, list))
        node = _child(node, step)
    found = [match.value for match in independent_parse(path).find(data)]
    assert read(path, data) is (found[0] if found else ABSENT)


def _child(node: Json, step: str | int) -> Json:
    if isinstance(step, int):
        return node[step] if step < len(node) else ABSENT
    return node.get(step, ABSENT) if isinstance(node, dict) else ABSENT


@given(VALUES)
def test_a_wildcard_below_everything_agrees_with_an_independent_library(data: Json) -> None:
    assume(isinstance(data, dict | list))
    found = [match.value for match in independent_parse("$..a").find(data)]
    assert sorted(map(repr, read("$..a", data))) == sorted(map(repr, found))


@given(VALUES, st.lists(NAMES.filter(str.isidentifier), max_size=3))
@settings(max_examples=150)
def test_a_jsonata_path_read_directly_agrees_with_the_library(data: Json, names: list[str]) -> None:
    text = ".".join(["$states.input", *names])
    direct, scope = compile_jsonata(text), a_scope(data)
    assert equal_or_absent(direct.evaluate(scope), Expression(text, None).evaluate(scope))


OPERANDS = st.sampled_from(
    ["$states.input.a", "$states.input.b.c", "$v", "1", "'x'", "true", "null"]
)
COMPARISONS = st.tuples(OPERANDS, st.sampled_from(["=", "!=", "<", ">="]), OPERANDS).map(" ".join)
CONDITIONS = st.recursive(
    COMPARISONS | OPERANDS,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join)
        | inner.map("$not({})".format)
    ),
    max_leaves=4,
)
FEW = st.sampled_from([1, 2.5, "x", "y", True, False, None, [], [1], {}, {"c": 1}, {"c": "x"}])


@given(CONDITIONS, st.dictionaries(st.sampled_from("ab"), FEW), st.none() | FEW)
@settings(max_examples=300)
def test_a_condition_read_directly_agrees_with_the_library(
    text: str, data: Json, variable: Json
) -> None:
    scope = a_scope(data, variables={"v": variable})
    assert outcome(compile_jsonata(text), scope) == outcome(Expression(text, None), scope)


def object_text(values: list[str]) -> str:
    return "{" + ", ".join(f"'k{index}': {value}" for index, value in enumerate(values)) + "}"


def outcome(expression: Expression, scope: Scope) -> str:
    try:
        return repr(expression.evaluate(scope))
    except Fault as failed:
        return str(failed)


def equal_or_absent(left: Json, right: Json) -> bool:
    return left is right or (ABSENT not in (left, right) and equal(left, right))


@given(st.text("ab*", max_size=8), st.text("ab", max_size=8))
def test_a_star_is_any_text(pattern: str, text: str) -> None:
    assert string_pattern(pattern)(text) is _matches(pattern, text)


def _matches(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_matches(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and _matches(pattern[1:], text[1:])


MADE = st.recursive(
    OPERANDS | st.sampled_from(["2.5", "$states.input"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*", "&"]), inner).map(" ".join)
        | st.lists(inner, max_size=3).map(object_text)
    ),
    max_leaves=5,
)


@given(MADE, st.dictionaries(st.sampled_from("ab"), FEW), st.none() | FEW)
@settings(max_examples=500)
def test_a_value_made_directly_agrees_with_the_library(
    text: str, data: dict[str, Json], variable: Json
) -> None:
    scope = a_scope(data, variables={"v": variable})
    directly, library = compile_jsonata(text), Expression(text, None)
    assert outcome(directly, scope) == outcome(library, scope)


_FIELDS = st.sampled_from(["@.a", "@.b.c", "@['a']", "@.d-e", "$.limit"])
_CONSTANTS = st.sampled_from(["1", "-1", "2.5", "'x'", "''", "true", "null", "['x',1]"])
_OPERATORS = st.sampled_from(["==", "!=", "===", "!==", "<", "<=", ">", ">="])
_COMPARISONS = st.builds(
    lambda left, operator, right: [left, operator, right],
    _FIELDS,
    _OPERATORS,
    _FIELDS | _CONSTANTS,
) | st.builds(lambda field, pattern: [field, "=~", pattern], _FIELDS, st.just("/x.*/"))
_CONDITIONS: st.SearchStrategy[list[str]] = st.recursive(
    _COMPARISONS | st.builds(lambda field: [field], _FIELDS),
    lambda inner: (
        st.builds(lambda one: ["!", "(", *one, ")"], inner)
        | st.builds(
            lambda left, operator, right: ["(", *left, operator, *right, ")"],
            inner,
            st.sampled_from(["&&", "||"]),
            inner,
        )
    ),
    max_leaves=4,
)
_ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.sampled_from([1, 2.5, "x", "xy", None, True]),
            "b": st.fixed_dictionaries({"c": st.integers(-1, 3)}),
            "d-e": st.integers(-1, 3),
        },
    ),
    max_size=5,
)


@given(_CONDITIONS, _ROWS)
def test_a_filter_means_the_same_with_and_without_spaces(tokens: list[str], rows: Json) -> None:
    data = {"rows": rows, "limit": 2}
    tight = read(f"$.rows[?({''.join(tokens)})]", data)
    assert tight == read(f"$.rows[?( {' '.join(tokens)} )]", data)
