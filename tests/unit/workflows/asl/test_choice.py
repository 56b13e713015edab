"""Choice rules: all operators, types that do not match, and faults in AWS's words."""

from __future__ import annotations

import pytest

from tests.unit.workflows.asl.expressions import a_scope
from torpor.workflows.asl.choice import compile_choice_rule
from torpor.workflows.asl.choice_operators import OPERATORS
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.scope import Json, QueryLanguage

EARLY, LATE = "2012-10-09T19:00:55Z", "2012-10-09T20:00:56+01:00"


def matches(rule: dict[str, Json], data: Json, **variables: Json) -> bool:
    compiled = compile_choice_rule(rule, QueryLanguage.JSONPATH)
    return compiled.matches(a_scope(data, variables=variables), data)


def test_there_are_39_operators() -> None:
    assert len(OPERATORS) == 39


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("Equals", [False, True, False]),
        ("LessThan", [True, False, False]),
        ("LessThanEquals", [True, True, False]),
        ("GreaterThan", [False, False, True]),
        ("GreaterThanEquals", [False, True, True]),
    ],
)
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("Numeric", [-1, 0.0, 1.5]),
        ("String", ["A", "AB", "B"]),
        ("Timestamp", ["2012-10-09T19:00:54.999999999Z", EARLY, LATE]),
    ],
)
def test_an_order_compares_with_a_constant_and_with_a_path(
    kind: str, order: str, values: list[Json], expected: list[bool]
) -> None:
    bound = values[1]
    for value, wanted in zip(values, expected, strict=True):
        data = {"v": value, "bound": bound}
        assert matches({"Variable": "$.v", f"{kind}{order}": bound}, data) is wanted
        assert matches({"Variable": "$.v", f"{kind}{order}Path": "$.bound"}, data) is wanted
        assert (
            matches({"Variable": "$v", f"{kind}{order}Path": "$b"}, {}, v=value, b=bound) is wanted
        )


@pytest.mark.parametrize(
    ("operator", "operand"),
    [
        ("NumericEquals", 1),
        ("StringEquals", "1"),
        ("BooleanEquals", True),
        ("TimestampEquals", EARLY),
    ],
)
def test_a_value_of_another_type_never_matches(operator: str, operand: Json) -> None:
    for value in (None, [], [1], {}, {"A": 1}, "2012-10-09T19:00:55", "x", 7):
        assert not matches({"Variable": "$.v", operator: operand}, {"v": value})
    if operator != "BooleanEquals":
        assert not matches({"Variable": "$.v", operator: operand}, {"v": True})


def test_booleans_are_not_numbers() -> None:
    assert not matches({"Variable": "$.v", "NumericEquals": 1}, {"v": True})
    assert not matches({"Variable": "$.v", "BooleanEquals": True}, {"v": 1})
    assert not matches({"Variable": "$.v", "IsNumeric": True}, {"v": True})
    assert not matches({"Variable": "$.v", "NumericEqualsPath": "$.w"}, {"v": 1, "w": True})


@pytest.mark.parametrize(
    ("operator", "yes", "no"),
    [
        ("IsNull", [None], [0, "", [], {}]),
        ("IsString", ["", "x", EARLY], [0, None, []]),
        ("IsNumeric", [0, 1.5], ["1", None, True]),
        ("IsBoolean", [True, False], [0, "true", None]),
        (
            "IsTimestamp",
            [EARLY, LATE, "2024-02-29T00:00:00.123456789-08:00"],
            ["2012-10-09T19:00:55", "2023-02-24", "2012-10-09 19:00:55Z", 5, None],
        ),
    ],
)
def test_a_type_test_works_both_ways(operator: str, yes: list[Json], no: list[Json]) -> None:
    for values, is_it in ((yes, True), (no, False)):
        for value in values:
            assert matches({"Variable": "$.v", operator: True}, {"v": value}) is is_it
            assert matches({"Variable": "$.v", operator: False}, {"v": value}) is not is_it


def test_presence_is_about_the_path_not_the_value() -> None:
    assert matches({"Variable": "$.v", "IsPresent": True}, {"v": None})
    assert matches({"Variable": "$.w.x[3]", "IsPresent": False}, {"v": None})
    assert not matches({"Variable": "$.v", "IsPresent": False}, {"v": 0})
    assert matches({"Variable": "$unknown", "IsPresent": False}, {})


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("log-*.txt", "log-2024.txt", True),
        ("log-*.txt", "log-.txt.gz", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("*ab*ab*", "xabyab", True),
        ("*ab*ab*", "xab", False),
        (r"100\*", "100*", True),
        (r"100\*", "1000", False),
        (r"a\\*", "a\\b", True),
        ("a.c", "abc", False),
        ("*\n*", "a\nb", True),
        ("exact", "exact", True),
    ],
)
def test_string_patterns(pattern: str, text: str, *, expected: bool) -> None:
    assert matches({"Variable": "$.v", "StringMatches": pattern}, {"v": text}) is expected


def test_a_pattern_with_many_stars_is_quick() -> None:
    assert not matches({"Variable": "$.v", "StringMatches": "*a" * 50 + "b"}, {"v": "a" * 100_000})


def test_logic_stops_as_soon_as_it_is_decided() -> None:
    yes: dict[str, Json] = {"Variable": "$.v", "IsPresent": True}
    broken: dict[str, Json] = {"Variable": "$.nope", "IsNull": True}
    data = {"v": 1}
    assert matches({"Or": [yes, broken]}, data)
    assert not matches({"And": [{"Not": yes}, broken]}, data)
    assert matches({"Not": {"And": [yes, {"Variable": "$.v", "NumericEquals": 2}]}}, data)
    with pytest.raises(Fault):
        matches({"And": [yes, broken]}, data)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ({"Variable": "$.nope", "NumericEquals": 1}, "$.nope"),
        ({"Variable": "$.v", "NumericEqualsPath": "$.nope"}, "$.nope"),
        ({"Variable": "$.nope", "IsString": True}, "$.nope"),
    ],
)
def test_a_path_that_leads_nowhere_is_a_fault(rule: dict[str, Json], path: str) -> None:
    with pytest.raises(Fault) as failed:
        matches(rule, {"v": 1})
    assert failed.value.error == "States.Runtime"
    assert failed.value.cause == (
        f"Invalid path '{path}': The choice state's condition path references an invalid value."
    )


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"Variable": "$.v"},
        {"StringEquals": "x"},
        {"Variable": "$.v", "StringEquals": "x", "IsNull": True},
        {"Variable": "v", "IsNull": True},
        {"Variable": "$.v", "NumericEquals": "1"},
        {"Variable": "$.v", "TimestampEquals": "yesterday"},
        {"Variable": "$.v", "StringEqualsPath": 5},
    ],
)
def test_a_bad_rule_is_refused_when_compiled(rule: dict[str, Json]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - rules and paths word it differently
        compile_choice_rule(rule, QueryLanguage.JSONPATH)


def condition(value: Json, data: Json) -> bool:
    rule = compile_choice_rule(
        {"Condition": value}, QueryLanguage.JSONATA, field="Choices[1]/Condition"
    )
    return rule.matches(a_scope(data), data)


def test_a_condition_is_an_expression_or_a_constant() -> None:
    assert condition("{% $states.input.v >= 20 and $states.input.v < 30 %}", {"v": 22})
    assert not condition("{% $states.input.done %}", {"done": False})
    assert condition(True, {})
    with pytest.raises(ValueError, match="Condition"):
        condition("$states.input.done", {})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "returned nothing (undefined)."),
        (
            {"v": "yes"},
            "returned an unexpected result type. Expected 'boolean', but was 'string' "
            'for value: "yes"',
        ),
        (
            {"v": None},
            "returned an unexpected result type. Expected 'boolean', but was 'null' "
            "for value: null",
        ),
    ],
)
def test_a_condition_that_is_no_boolean_is_a_fault(data: Json, reason: str) -> None:
    with pytest.raises(Fault) as failed:
        condition("{% $states.input.v %}", data)
    assert failed.value.error == "States.QueryEvaluationError"
    assert failed.value.cause == (
        "The JSONata expression '$states.input.v' specified for the field "
        f"'Choices[1]/Condition' {reason}"
    )
