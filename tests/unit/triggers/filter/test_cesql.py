"""CloudEvents SQL where the test kit is silent: precedence, casts, overflow, limits, messages."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from torpor.triggers.filter.cesql import CesqlError, FailureKind, compile_cesql

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/orders",
    "type": "order.created",
    "subject": "abc",
    "total": 12,
    "paid": True,
    "unset": None,
}


def value(text: str, event: dict[str, Any] = EVENT) -> Any:
    found = compile_cesql(text).evaluate(event)
    assert found.errors == ()
    return found.value


def failing(text: str) -> tuple[Any, FailureKind]:
    found = compile_cesql(text).evaluate(EVENT)
    assert len(found.errors) == 1
    return found.value, found.errors[0].kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TRUE OR FALSE AND FALSE", False),
        ("FALSE AND FALSE OR TRUE", True),
        ("TRUE XOR TRUE OR TRUE", True),
        ("NOT TRUE = FALSE", True),
        ("NOT EXISTS missing AND TRUE", True),
        ("1 + 2 * 3 = 7", True),
        ("10 - 2 - 3", 5),
        ("100 / 5 / 2", 10),
        ("1 + 2 IN (3)", 1),
        ("(1 + 2) IN (3)", True),
        ("1 < 2 = TRUE", True),
        ("subject LIKE 'a%' = TRUE", True),
        ("'a' IN ('a') LIKE 'true'", True),
        ("- 5 + 3", -2),
        ("4-1", 3),
        ("+7", 7),
        ("-2147483648", -2147483648),
        ("-NOT FALSE", -1),
    ],
)
def test_operators_bind_as_specified(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 % -2", 1),
        ("TRUE = 1", True),
        ("1 = TRUE", True),
        ("0 = FALSE", True),
        ("TRUE = 'true' AND FALSE = 'false'", True),
        ("TRUE = 'TRUE' OR FALSE = 'FALSE'", False),
        ("'Abc' = 'abc'", False),
        ("'007' = 7", True),
        ("STRING(007)", "7"),
        ("'+7' + 0", 7),
        ("TRUE AND 5", True),
        ("total", 12),
        ("paid", True),
        ("LENGTH(total)", 2),
        ("TOTAL > 10", True),
        ("EXISTS unset", False),
        ("LENGTH('aé😀')", 3),
        ("TRIM('\u2003 a\x1c ')", "a\x1c"),
        ("substring('abc', 2, 9)", "bc"),
        ("SUBSTRING('abc', -3, 2)", "ab"),
        ("CONCAT_WS('-', 1, TRUE, 'x')", "1-true-x"),
        ("LEFT ('abc', '2')", "ab"),
    ],
)
def test_values_are_cast_as_specified(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_what_is_no_type_of_the_language_is_its_string() -> None:
    event = {
        **EVENT,
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "raw": b"abc",
        "large": 2**40,
        "data": {"total": 5},
    }
    assert value("when LIKE '2026-01-02T%'", event) is True
    assert value("raw", event) == "YWJj"
    assert value("large", event) == str(2**40)
    assert value("EXISTS data", event) is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2147483647 + 1", (0, FailureKind.MATH)),
        ("-2147483648 - 1", (0, FailureKind.MATH)),
        ("65536 * 65536", (0, FailureKind.MATH)),
        ("-2147483648 / -1", (0, FailureKind.MATH)),
        ("-(-2147483648)", (0, FailureKind.MATH)),
        ("5 % 0 + 1", (0, FailureKind.MATH)),
        ("'2147483648' + 0", (0, FailureKind.CAST)),
        ("' 1' + 0", (0, FailureKind.CAST)),
        ("'1_0' + 0", (0, FailureKind.CAST)),
        ("'x' < 1", (False, FailureKind.CAST)),
        ("'x' != 1", (False, FailureKind.CAST)),
        ("'x' OR TRUE", (False, FailureKind.CAST)),
        ("1 IN ('x', 1)", (False, FailureKind.CAST)),
        ("LENGTH(missing)", (0, FailureKind.MISSING_ATTRIBUTE)),
        ("CONCAT('a', missing)", ("", FailureKind.MISSING_ATTRIBUTE)),
        ("missing NOT IN ('a')", (False, FailureKind.MISSING_ATTRIBUTE)),
        ("'a' NOT IN (missing)", (False, FailureKind.MISSING_ATTRIBUTE)),
        ("data = ''", (False, FailureKind.MISSING_ATTRIBUTE)),
        ("NOSUCH(1)", (False, FailureKind.MISSING_FUNCTION)),
        ("ABS(1, 2)", (False, FailureKind.MISSING_FUNCTION)),
        ("SUBSTRING('abc', 1, -1)", ("", FailureKind.FUNCTION_EVALUATION)),
        ("LENGTH(LEFT('abc', -1))", (0, FailureKind.FUNCTION_EVALUATION)),
    ],
)
def test_an_error_comes_with_a_value(text: str, expected: tuple[Any, FailureKind]) -> None:
    assert failing(text) == expected


def test_both_sides_tell_what_they_miss() -> None:
    found = compile_cesql("one = other").evaluate(EVENT)
    assert [error.reason for error in found.errors] == [
        "the event has no attribute 'one'",
        "the event has no attribute 'other'",
    ]


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("total > 10", True),
        ("total > 20", False),
        ("total", False),
        ("'true'", False),
        ("NOT 10", False),
        ("missing = 1 OR TRUE", False),
        ("TRUE OR missing = 1", True),
    ],
)
def test_only_true_without_errors_passes(text: str, matches: bool) -> None:
    assert compile_cesql(text).matches(EVENT) is matches


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("  ", 2),
        ("a =", 3),
        ("a = = b", 4),
        ("(a", 2),
        ("a b", 2),
        ("'abc", 0),
        ("'abc\\'", 0),
        ("'a''b'", 3),
        ("a = 2147483648", 4),
        ("x LIKE y", 7),
        ("x NOT 5", 6),
        ("x IN ()", 6),
        ("x IN 5", 5),
        ("EXISTS 5", 7),
        ("EXISTS and", 7),
        ("my_ext = 1", 0),
        ("f1(2)", 0),
        ("_f(2)", 0),
        ("TRUE(1)", 4),
        ("a ! b", 2),
        ("a = 'é' & b", 8),
        ("ABS(1,)", 6),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(text: str, position: int) -> None:
    with pytest.raises(CesqlError) as refused:
        compile_cesql(text)
    assert refused.value.position == position
    assert f"character {position + 1}:" in str(refused.value)


@pytest.mark.parametrize(
    "text", ["(" * 500 + "1" + ")" * 500, "-" * 500 + "a", "1" + "+1" * 500, "a" * 8_193]
)
def test_an_expression_over_a_limit_is_refused(text: str) -> None:
    with pytest.raises(CesqlError, match=r"nests deeper|longer than"):
        compile_cesql(text)


def test_what_is_called_and_does_not_exist_is_told() -> None:
    text = "NOT F(ABS(1, 2)) AND 1 IN (G(), LENGTH('a')) OR -INT('1') = 1 AND LEFT(id, 1) LIKE 'a'"
    assert compile_cesql(text).missing_functions == (
        "F with 1 argument",
        "ABS with 2 arguments",
        "G with 0 arguments",
    )


def test_many_conditions_may_be_joined() -> None:
    text = " OR ".join(f"subject = '{number}'" for number in range(400))
    assert compile_cesql(text).matches({**EVENT, "subject": "399"})


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "%", True),
        ("", "_", False),
        ("abcabc", "a%c", True),
        ("abab", "ab%ab", True),
        ("aba", "ab%ba", False),
        ("a\nb", "a_b", True),
        ("aXbXc", "%X_X%", True),
        ("aXbbXc", "%X_X%", False),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
        ("%", "\\%", True),
        ("50%!", "%\\%_", True),
        ("x\\y", "x\\y", True),
    ],
)
def test_patterns(text: str, pattern: str, expected: bool) -> None:
    assert value(f"subject LIKE '{pattern}'", {**EVENT, "subject": text}) is expected


def test_no_pattern_takes_long() -> None:
    matches = compile_cesql(f"subject LIKE '{'%a_' * 60}b'").matches
    began = time.perf_counter()
    assert matches({**EVENT, "subject": "a" * 50_000}) is False
    assert time.perf_counter() - began < 1
