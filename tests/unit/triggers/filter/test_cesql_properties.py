"""What holds for every text, every event and every pattern."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from torpor.triggers.filter.cesql import CesqlError, compile_cesql

_WORDS = (
    "AND OR XOR NOT LIKE IN EXISTS TRUE FALSE id subject missing 0 -5 2147483647 'a%' \"x\" "
    "( ) , + - * / % = != <> < <= > >= LENGTH( SUBSTRING( CONCAT( ABS( INT( NOSUCH("
)
texts = st.one_of(st.text(), st.lists(st.sampled_from(_WORDS.split()), max_size=15).map(" ".join))
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
)
events = st.dictionaries(st.sampled_from(["id", "subject", "missing", "data"]), values)


def expressions() -> st.SearchStrategy[str]:
    """Texts that are valid more often than not."""
    leaves = st.sampled_from(["id", "subject", "missing", "TRUE", "7", "-3", "'a'", "EXISTS id"])

    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        operators = st.sampled_from(["+", "-", "*", "/", "%", "=", "<>", "<", "AND", "OR", "XOR"])
        return st.one_of(
            st.tuples(inner, operators, inner).map(lambda found: f"({' '.join(found)})"),
            inner.map(lambda one: f"NOT {one}"),
            inner.map(lambda one: f"- {one}"),
            inner.map(lambda one: f"{one} LIKE '%a_'"),
            inner.map(lambda one: f"LENGTH({one})"),
            st.tuples(inner, inner).map(lambda two: f"{two[0]} IN (1, {two[1]})"),
            st.tuples(inner, inner).map(lambda two: f"SUBSTRING({two[0]}, {two[1]})"),
        )

    return st.recursive(leaves, larger, max_leaves=12)


@given(texts)
def test_a_text_is_compiled_or_refused(text: str) -> None:
    position = 0
    try:
        compile_cesql(text)
    except CesqlError as refused:
        position = refused.position
    assert 0 <= position <= len(text)


@given(expressions(), events)
def test_an_evaluation_always_has_a_value(text: str, event: dict[str, Any]) -> None:
    compiled = compile_cesql(text)
    found = compiled.evaluate(event)
    assert type(found.value) in (bool, int, str)
    assert not isinstance(found.value, int) or -(2**31) <= found.value < 2**31
    assert compiled.matches(event) is (found.value is True and not found.errors)


@given(st.text("ab\n%_.", max_size=12), st.text("ab\n%_.\\", max_size=8))
def test_a_pattern_matches_what_its_regular_expression_does(text: str, pattern: str) -> None:
    pieces = re.findall(r"\\[%_]|.", pattern, re.DOTALL)
    meaning = {"%": ".*", "_": ".", "\\%": "%", "\\_": "_"}
    regex = "".join(meaning.get(piece) or re.escape(piece) for piece in pieces)
    expected = re.fullmatch(regex, text, re.DOTALL) is not None
    literal = '"' + pattern + '"'
    if pattern.endswith("\\"):
        return
    assert compile_cesql(f"subject LIKE {literal}").matches({"subject": text}) is expected


@given(st.text())
def test_a_string_literal_stands_for_itself(text: str) -> None:
    plain = text.replace("\\", "/")
    literal = "'" + plain.replace("'", "\\'") + "'"
    assert compile_cesql(literal).evaluate({}).value == plain
