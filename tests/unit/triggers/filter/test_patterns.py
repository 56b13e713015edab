"""What event patterns match: each operator, names, alternatives, arrays."""

from __future__ import annotations

import time
from typing import Any

import pytest

from torpor.triggers.filter.pattern import compile_pattern, parse_pattern


def matches(entries: list[Any], value: Any) -> bool:
    """Whether a list of entries accepts a value."""
    return compile_pattern({"a": entries}).matches({"a": value})


@pytest.mark.parametrize(
    ("entry", "accepted", "refused"),
    [
        ("x", ["x", ["y", "x"]], ["X", "xx", "", 1, None, {"x": 1}]),
        ("", [""], ["x", None, []]),
        ("é", ["é"], ["e\u0301"]),
        (300, [300, 300.0, 3e2], ["300", 301, True]),
        (1, [1, 1.0], [True, "1"]),
        (0.1, [0.1], [0.10000001]),
        (123456789012345678901234567890, [123456789012345678901234567890], [1e29]),
        (True, [True], [1, "true", False]),
        (False, [False], [0, "false", None]),
        (None, [None], ["null", 0, False]),
        ({"exactly": "x"}, ["x"], ["y"]),
        ({"prefix": "ab"}, ["ab", "abc"], ["a", "ABC", 5, "xab"]),
        ({"prefix": ""}, ["", "x"], [5, None]),
        ({"suffix": "yz"}, ["yz", "xyz"], ["z", "yzx", None]),
        ({"prefix": {"equals-ignore-case": "aB"}}, ["Abc", "AB"], ["xab", 1]),
        ({"suffix": {"equals-ignore-case": ".PNG"}}, ["a.png", ".PnG"], ["png"]),
        ({"equals-ignore-case": "Straße"}, ["STRASSE", "straße"], ["strase", 7]),
        ({"wildcard": "a*b*c"}, ["abc", "aXbYc", "abbcc", "a*b*c"], ["ab", "abcx", "acb", 3]),
        ({"wildcard": "*"}, ["", "anything"], [None, 3]),
        ({"wildcard": "ab*ba"}, ["abba", "ab-ba"], ["aba"]),
        ({"wildcard": r"a\*b\\c"}, ["a*b\\c"], ["aXb\\c", "a*bc"]),
        ({"wildcard": ""}, [""], ["a"]),
        ({"anything-but": "x"}, ["y", "", 1, None, True, ["x", "y"]], ["x", ["x"]]),
        ({"anything-but": ["x", "y"]}, ["z", "xy"], ["x", "y"]),
        ({"anything-but": 1}, [2, "1", True, None], [1, 1.0]),
        ({"anything-but": [1, 2]}, [3, "2"], [1, 2.0]),
        ({"anything-but": {"prefix": "x"}}, ["y", 5, None], ["x", "xy"]),
        ({"anything-but": {"prefix": ["x", "y"]}}, ["z"], ["xa", "ya"]),
        ({"anything-but": {"suffix": ["x", "y"]}}, ["xz", 5], ["ax", "ay"]),
        ({"anything-but": {"wildcard": ["*x*", "y*"]}}, ["z", "zy", 5], ["axb", "yb"]),
        ({"anything-but": {"equals-ignore-case": ["no", "Non"]}}, ["yes", 5], ["NO", "nON"]),
        ({"numeric": ["=", 3.018e2]}, [301.8], ["301.8", 301, True]),
        ({"numeric": [">", 0, "<=", 5]}, [0.000001, 5, [9, 3]], [0, 5.1, "3", None, True, [9]]),
        ({"numeric": [">=", 5]}, [5, 6e12, 10**30], [4.9]),
        ({"numeric": ["<", 0]}, [-1], [0, False]),
        ({"numeric": ["<=", 0]}, [0, -0.0], [0.1]),
        ({"cidr": "10.0.0.7/24"}, ["10.0.0.0", "10.0.0.255", "010.0.0.1"], ["10.0.1.0", "x", 10]),
        ({"cidr": "0.0.0.0/0"}, ["255.255.255.255"], ["::1", "256.0.0.1", "1.2.3"]),
        ({"cidr": "2001:db8::/32"}, ["2001:0DB8::ff"], ["2001:db9::", "10.0.0.1", "::g"]),
        ({"cidr": "10.0.0.0/8"}, ["::ffff:a00:1"], ["::a00:1"]),
        ("2001:db8::1", ["2001:db8::1", "2001:0DB8:0::1"], ["2001:db8::2"]),
        ({"exists": True}, ["x", None, False, [None]], [[], {}, {"b": 1}, [{}], [[]]]),
        ({"exists": False}, [[], {}, {"b": 1}], ["x", None, [0]]),
    ],
)
def test_an_entry_accepts_what_it_says(entry: Any, accepted: list[Any], refused: list[Any]) -> None:
    assert [value for value in accepted if not matches([entry], value)] == []
    assert [value for value in refused if matches([entry], value)] == []


def test_any_entry_of_a_list_is_enough() -> None:
    entries = ["x", {"numeric": [">", 5]}, {"exists": False}]
    assert matches(entries, "x")
    assert matches(entries, 6)
    assert compile_pattern({"a": entries}).matches({"b": 1})
    assert not matches(entries, 5)


def test_every_field_must_match() -> None:
    pattern = compile_pattern({"source": ["shop"], "detail": {"state": ["paid"], "n": [1]}})
    assert pattern.matches({"source": "shop", "detail": {"state": "paid", "n": 1, "more": 2}})
    assert not pattern.matches({"source": "shop", "detail": {"state": "paid", "n": 2}})
    assert not pattern.matches({"detail": {"state": "paid", "n": 1}})
    assert not pattern.matches({})


@pytest.mark.parametrize("event", [{"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, {"a": {"b.c": 1}}])
@pytest.mark.parametrize("pattern", [{"a": {"b": {"c": [1]}}}, {"a.b.c": [1]}, {"a": {"b.c": [1]}}])
def test_names_are_joined_with_dots(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    assert compile_pattern(pattern).matches(event)


def test_a_name_may_be_empty() -> None:
    pattern = compile_pattern({"": {"a": [1]}})
    assert pattern.matches({"": {"a": 1}})
    assert not pattern.matches({"a": 1})


def test_alternatives_combine_with_what_stands_beside_them() -> None:
    pattern = compile_pattern(
        {
            "s": ["x"],
            "$or": [{"a": [1]}, {"b": [2], "$or": [{"c": [3]}, {"d": [4]}]}],
            "e": {"$or": [{"f": [5]}, {"g": [6]}]},
        }
    )
    assert pattern.matches({"s": "x", "a": 1, "e": {"g": 6}})
    assert pattern.matches({"s": "x", "b": 2, "d": 4, "e": {"f": 5}})
    assert not pattern.matches({"s": "x", "b": 2, "e": {"f": 5}})
    assert not pattern.matches({"s": "x", "a": 1, "f": 5})
    assert not pattern.matches({"a": 1, "e": {"f": 5}})


def test_the_list_of_a_branch_replaces_the_one_before_it() -> None:
    pattern = compile_pattern({"n": ["a"], "$or": [{"n": ["b"]}, {"m": ["c"]}]})
    assert pattern.matches({"n": "b"})
    assert pattern.matches({"n": "a", "m": "c"})
    assert not pattern.matches({"n": "a"})


def test_or_that_is_no_alternative_is_a_field() -> None:
    assert compile_pattern({"$or": {"a": [1]}}).matches({"$or": {"a": 1}})
    assert compile_pattern({"$or": ["x"]}).matches({"$or": "x"})
    operators = compile_pattern({"$or": [{"prefix": "a"}, {"numeric": ["=", 1]}]})
    assert operators.matches({"$or": "ab"})
    assert not operators.matches({"prefix": "a"})


def test_of_a_name_given_twice_the_last_list_counts_and_an_object_stays() -> None:
    assert not parse_pattern('{"x": ["y"], "x": ["z"]}').matches({"x": "y"})
    both = parse_pattern('{"x": ["y"], "x": {"z": ["w"]}}')
    assert both.matches({"x": ["y", {"z": "w"}]})
    assert not both.matches({"x": {"z": "w"}})


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"d": {"a": [1], "b": [2]}}, {"d": [{"a": 1}, {"b": 2}]}, False),
        ({"d": {"a": [1], "b": [2]}}, {"d": [{"a": 9}, {"a": 1, "b": 2}]}, True),
        ({"d": {"a": [1], "b": [2]}}, {"d": [[{"a": 1, "b": 3}], [{"a": 1, "b": 2}]]}, True),
        ({"d": {"a": [1], "b": [2]}}, {"d": [[{"a": 1}, {"b": 2}]]}, False),
        ({"d": {"a": [1], "e": {"b": [2]}}}, {"d": [{"a": 1, "e": [{"b": 3}, {"b": 2}]}]}, True),
        ({"d": {"a": [1], "e": {"b": [2]}}}, {"d": [{"a": 1}, {"e": [{"b": 2}]}]}, False),
        ({"d": {"a": [1]}, "e": {"a": [1]}}, {"d": [{}, {"a": 1}], "e": [{"a": 1}]}, True),
        ({"d": ["x"], "e": [1]}, {"d": [{"y": 1}, "x"], "e": 1}, True),
        ({"d": {"a": [1, 2]}}, {"d": [{"a": [5, 2]}]}, True),
        ({"d": {"a": [1], "b": [{"exists": False}]}}, {"d": [{"a": 1}, {"b": 2}]}, True),
        ({"d": {"a": [1], "b": [{"exists": False}]}}, {"d": [{"a": 1, "b": 2}]}, False),
        ({"d": {"a": [{"exists": False}], "b": [2]}}, {"d": [{"b": 2}, {"a": 1}]}, False),
        ({"d": {"a": [{"exists": False}]}}, {"d": [{"b": 2}, {}]}, True),
        ({"d": {"a": [{"exists": True}]}}, {"d": [[], [[]], {}]}, False),
    ],
)
def test_fields_of_an_array_match_within_one_element(
    pattern: dict[str, Any], event: dict[str, Any], expected: bool
) -> None:
    assert compile_pattern(pattern).matches(event) is expected


def test_long_arrays_do_not_multiply() -> None:
    fields = {name: {"x": [1], "y": [1], "z": [2]} for name in "abcdef"}
    event = {name: [{"x": 1, "y": 1}] * 3_000 for name in "abcdef"}
    nested = {"d": [{"e": [{"x": 1, "y": 1}] * 5_000}]}
    start = time.process_time()
    assert not compile_pattern(fields).matches(event)
    assert not compile_pattern({"d": {"e": {"x": [1], "y": [1], "z": [2]}}}).matches(nested)
    assert time.process_time() - start < 5


def test_wildcards_have_no_exponential_case() -> None:
    pattern = compile_pattern({"a": [{"wildcard": "*a" * 500 + "b"}]})
    start = time.process_time()
    assert not pattern.matches({"a": "a" * 200_000})
    assert time.process_time() - start < 2


def test_arrays_in_arrays_may_be_deep() -> None:
    value: Any = "x"
    for _ in range(2_000):
        value = [value]
    assert compile_pattern({"a": ["x"]}).matches({"a": value})
