"""Which patterns are refused, with EventBridge's reason and the path of every mistake."""

from __future__ import annotations

import json
from typing import Any

import pytest

from torpor.errors import TorporError
from torpor.triggers.filter.pattern import compile_pattern, parse_pattern
from torpor.triggers.filter.pattern_error import PatternError
from torpor.triggers.filter.pattern_text import Limits

_NUMERIC = "must be numeric"
_TERMS = "Too many terms in numeric range expression"
_ELEMENTS = "Too many elements in numeric expression"
_MIXED = "mixed type is not supported"


def refusal(pattern: Any) -> str:
    """The message for a pattern, given as a value or as JSON text."""
    text = pattern if isinstance(pattern, str) else json.dumps(pattern)
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ({}, "Empty objects are not allowed at $"),
        ({"a": {}}, "Empty objects are not allowed at $.a"),
        ({"a": []}, "Empty arrays are not allowed at $.a"),
        ({"a": "x"}, '"a" must be an object or an array at $.a'),
        ({"a": {"b": 1}}, '"b" must be an object or an array at $.a.b'),
        ({"a": None}, '"a" must be an object or an array'),
        ({"a": [["x"]]}, "Match value must be String, number, true, false, or null at $.a[0]"),
        ({"a": [{}]}, "Match expression name not found at $.a[0]"),
        ({"a": [{"regex": "x"}]}, "Unrecognized match type regex at $.a[0]"),
        ({"a": [{"prefix": "x", "suffix": "y"}]}, "Only one key allowed in match expression"),
        ({"a": [{"exactly": 1}]}, "exact match pattern must be a string"),
        ({"a": [{"prefix": 1}]}, "prefix match pattern must be a string"),
        ({"a": [{"prefix": {}}]}, "Prefix expression name not found"),
        ({"a": [{"prefix": {"wildcard": "x"}}]}, "Unsupported prefix pattern: wildcard"),
        ({"a": [{"prefix": {"equals-ignore-case": 1}}]}, "equals-ignore-case match pattern must"),
        ({"a": [{"suffix": None}]}, "suffix match pattern must be a string"),
        ({"a": [{"suffix": {"prefix": "x"}}]}, "Unsupported suffix pattern: prefix"),
        ({"a": [{"equals-ignore-case": ["x"]}]}, "equals-ignore-case match pattern must"),
        ({"a": [{"wildcard": 1}]}, "wildcard match pattern must be a string"),
        ({"a": [{"wildcard": "a**b"}]}, "Consecutive wildcard characters at pos 1"),
        ({"a": [{"wildcard": "a\\b"}]}, "Invalid escape character at pos 1"),
        ({"a": [{"wildcard": "a\\"}]}, "Invalid escape character at pos 1"),
        ({"a": [{"exists": "yes"}]}, "exists match pattern must be either true or false."),
        ({"a": [{"exists": 1}]}, "exists match pattern must be either true or false."),
        ({"a": [{"cidr": "10.0.0.0"}]}, "Malformed CIDR, one '/' required"),
        ({"a": [{"cidr": "a/b/c"}]}, "Malformed CIDR, one '/' required"),
        ({"a": [{"cidr": "10.0.0.0/x"}]}, "Malformed CIDR, mask bits must be an integer"),
        ({"a": [{"cidr": "10.0.0.0/-1"}]}, "Malformed CIDR, mask bits must not be negative"),
        ({"a": [{"cidr": "10.0.0.0/33"}]}, "IPv4 mask bits must be < 32"),
        ({"a": [{"cidr": "::1/222"}]}, "IPv6 mask bits must be < 128"),
        ({"a": [{"cidr": "snorkle/3"}]}, "Nonstandard IP address: snorkle"),
        ({"a": [{"cidr": "10.10.10.10.10/3"}]}, "Nonstandard IP address"),
        ({"a": [{"numeric": ">"}]}, "Value of numeric must be an array."),
        ({"a": [{"numeric": []}]}, "Invalid member in numeric match"),
        ({"a": [{"numeric": [1, ">"]}]}, "Invalid member in numeric match"),
        ({"a": [{"numeric": ["!=", 1]}]}, "Unrecognized numeric range operator: !="),
        ({"a": [{"numeric": ["="]}]}, f"Value of equals {_NUMERIC}"),
        ({"a": [{"numeric": [">", "1"]}]}, f"Value of > {_NUMERIC}"),
        ({"a": [{"numeric": [">", True]}]}, f"Value of > {_NUMERIC}"),
        ({"a": [{"numeric": [">", 1, "<", None]}]}, f"Value of < {_NUMERIC}"),
        ({"a": [{"numeric": ["=", 1, 2]}]}, _ELEMENTS),
        ({"a": [{"numeric": ["<", 5, ">", 1]}]}, _ELEMENTS),
        ({"a": [{"numeric": [">", 1, ">", 5]}]}, "Bad numeric range operator: >"),
        ({"a": [{"numeric": [">", 1, 5]}]}, "Bad value in numeric range"),
        ({"a": [{"numeric": [">", 1, "<", 5, "<", 6]}]}, _TERMS),
        ({"a": [{"numeric": [">", 5, "<", 5]}]}, "Bottom must be less than top"),
        ({"a": [{"numeric": [">", 5, "<", 1]}]}, "Bottom must be less than top"),
        ({"a": [{"numeric": ["=", 500_000_000_001]}]}, "Value must be between -5.0E11 and 5.0E11"),
        ({"a": [{"numeric": ["=", 0.1234567]}]}, "Only values upto 6 decimals are supported"),
        ({"a": [{"anything-but": None}]}, "must be an array or single string/number value."),
        ({"a": [{"anything-but": True}]}, "must be an array or single string/number value."),
        ({"a": [{"anything-but": []}]}, _MIXED),
        ({"a": [{"anything-but": ["x", 1]}]}, _MIXED),
        ({"a": [{"anything-but": ["x", None]}]}, "start|null|boolean is not supported."),
        ({"a": [{"anything-but": {}}]}, "Anything-But expression name not found"),
        ({"a": [{"anything-but": {"numeric": [">", 1]}}]}, "Unsupported anything-but pattern"),
        ({"a": [{"anything-but": {"prefix": ""}}]}, "Null prefix/suffix not allowed"),
        ({"a": [{"anything-but": {"suffix": ["x", ""]}}]}, "Null prefix/suffix not allowed"),
        ({"a": [{"anything-but": {"prefix": 1}}]}, "prefix/suffix match pattern must be a string"),
        ({"a": [{"anything-but": {"wildcard": "**"}}]}, "Consecutive wildcard characters"),
        ({"a": [{"anything-but": {"equals-ignore-case": [1]}}]}, "number|start|null|boolean"),
        ({"$or": [{"a": [1]}]}, "There must have at least 2 Objects in $or relationship. at $.$or"),
        ({"$or": [{"a": [1]}, "x"]}, "Only JSON object is allowed in array of $or"),
        ({"$or": [{"a": [1]}, {}]}, "Empty objects are not allowed at $.$or[1]"),
        ({"$or": "x"}, "It must be an Array followed with $or."),
        ({"$or": [{"a": {"prefix": ["x"]}}, {"b": []}]}, "prefix is Ruler reserved fieldName"),
        ("[]", "Filter is not an object at $"),
        ('"x"', "Filter is not an object at $"),
        ("{", "Invalid JSON"),
        ('{"a": [NaN]}', "Invalid JSON: NaN is no JSON number"),
        ('{"a": [1e999]}', "Match value must be String, number, true, false, or null"),
    ],
)
def test_a_mistake_is_named_with_its_path(pattern: Any, reason: str) -> None:
    message = refusal(pattern)
    assert message.startswith("Event pattern is not valid. Reason: ")
    assert reason in message


def test_every_mistake_is_named() -> None:
    with pytest.raises(PatternError) as caught:
        compile_pattern({"a": [], "b": {"c": ["x", {"prefix": 1}, {"cidr": "x"}]}, "d": 1})
    paths = [problem.path for problem in caught.value.problems]
    assert paths == ["$.a", "$.b.c[1]", "$.b.c[2]", "$.d"]


def test_an_error_is_one_of_torpor_and_a_value_error() -> None:
    with pytest.raises(TorporError) as caught:
        compile_pattern({})
    assert isinstance(caught.value, ValueError)
    assert caught.value.code == "invalid-event-pattern"


def test_names_that_are_no_strings_are_refused() -> None:
    with pytest.raises(PatternError, match="Names of fields must be strings"):
        compile_pattern({1: ["x"]})  # type: ignore[dict-item]


def test_the_text_has_a_limit_that_can_be_set() -> None:
    text = json.dumps({"a": ["x" * 5_000]})
    with pytest.raises(PatternError, match="at most 4096 are allowed"):
        parse_pattern(text)
    assert parse_pattern(text, Limits(text_bytes=6_000)).matches({"a": "x" * 5_000})


def test_the_depth_has_a_limit() -> None:
    deep: Any = ["x"]
    for _ in range(64):
        deep = {"a": deep}
    assert compile_pattern(deep).matches(_as_event(deep))
    assert "Objects deeper than 64" in refusal({"a": deep})
    assert "Fields deeper than 64 names" in refusal({".".join("a" * 65): ["x"]})
    assert "Invalid JSON" in refusal("[" * 4_000)


def _as_event(pattern: Any) -> Any:
    return {"a": _as_event(pattern["a"])} if isinstance(pattern, dict) else pattern[0]


def test_branches_in_branches_have_a_limit() -> None:
    pattern: Any = {"a": [1]}
    for _ in range(150):
        pattern = {"$or": [pattern, {"b": [1]}]}
    with pytest.raises(PatternError, match="Objects deeper than 64 are not allowed"):
        compile_pattern(pattern)


def test_combinations_of_alternatives_have_a_limit() -> None:
    def alternatives(count: int) -> dict[str, Any]:
        return {f"f{n}": {"$or": [{"a": [1]}, {"b": [2]}]} for n in range(count)}

    assert len(compile_pattern(alternatives(9)).conjunctions) == 512
    message = refusal(alternatives(10))
    assert "Event pattern contains more than 1000 rule combinations" in message
