"""Intrinsic functions: values, rounding, escapes, limits, and AWS's words when one fails."""

from __future__ import annotations

import pytest

from tests.unit.workflows.asl.expressions import FixedEntropy, a_scope
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.intrinsics import compile_intrinsic
from torpor.workflows.asl.scope import Json


def call(text: str, data: Json = None, **variables: Json) -> Json:
    return compile_intrinsic(text).evaluate(a_scope(data, variables=variables), data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("States.Format('Hi {}, you owe {}.', $.name, $.sum)", "Hi Ann, you owe 1.5."),
        ("States.Format('{} {} {}', null, true, $.list)", "null true [1,2,3]"),
        ("States.Format('none')", "none"),
        (r"States.Format('\{\} it\'s {} \\', $.name)", r"{} it's Ann \ ".strip()),
        ("States.Format('{\"a\": {}}', $.name)", '{"a": Ann}'),
        ("States.StringToJson($.json)", {"a": [1, None]}),
        ("States.StringToJson('')", None),
        ("States.StringToJson('-0')", 0),
        ("States.JsonToString($.object)", '{"k":"v","n":[1,2.5]}'),
        ("States.Array()", []),
        ("States.Array(1, 'b', $.list, null, -2.5, true)", [1, "b", [1, 2, 3], None, -2.5, True]),
        ("States.ArrayPartition($.list, 2)", [[1, 2], [3]]),
        ("States.ArrayPartition($.list, 1.5)", [[1, 2], [3]]),
        ("States.ArrayPartition($.empty, 4)", []),
        ("States.ArrayContains($.list, 3)", True),
        ("States.ArrayContains($.flags, 1)", False),
        ("States.ArrayContains($.flags, true)", True),
        ("States.ArrayRange(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("States.ArrayRange(5, 1, -2)", [5, 3, 1]),
        ("States.ArrayLength(States.ArrayRange(1, 1000, 1))", 1000),
        ("States.ArrayGetItem($.list, 2)", 3),
        ("States.ArrayLength($.list)", 3),
        ("States.ArrayUnique($.mixed)", [1, True, "1", {"a": 1, "b": 2}, None, [1]]),
        ("States.Base64Encode('Data to encode')", "RGF0YSB0byBlbmNvZGU="),
        ("States.Base64Decode('RGF0YSB0byBlbmNvZGU=')", "Data to encode"),
        ("States.Hash('input data', 'SHA-1')", "aaff4a450a104cd177d28d18d74485e8cae074b7"),
        ("States.Hash('hello', 'MD5')", "5d41402abc4b2a76b9719d911017c592"),
        ("States.JsonMerge($.object, $.other, false)", {"k": 2, "n": [1, 2.5], "x": {}}),
        ("States.MathAdd(1.5, 1.51)", 4),
        ("States.MathAdd(-1.5, -1.51)", -3),
        ("States.MathAdd(-0.5, 0)", 0),
        ("States.MathAdd(111, -1)", 110),
        ("States.MathRandom(10, 20)", 15),
        ("States.StringSplit('1,2,3', ',')", ["1", "2", "3"]),
        (
            "States.StringSplit('This.is+a,test=string', '.+,=')",
            ["This", "is", "a", "test", "string"],
        ),
        ("States.UUID()", FixedEntropy().uuid()),
        ("States.ArrayGetItem(States.StringSplit('a-b', '-'), States.MathAdd(0, 1))", "b"),
        ("States.ArrayLength($.list[?(@ > 1)])", 2),
        ("States.Format($template, $.list.length())", "3 items"),
        ("States.Format('{}', $.odd['a,b)'])", "odd"),
    ],
)
def test_a_call_returns_what_the_language_says(text: str, expected: Json) -> None:
    data: Json = {
        "name": "Ann",
        "sum": 1.5,
        "list": [1, 2, 3],
        "empty": [],
        "flags": [True, False],
        "mixed": [1, 1.0, True, "1", {"a": 1, "b": 2}, {"b": 2, "a": 1}, None, None, [1], [1]],
        "json": '{"a": [1, null]}',
        "object": {"k": "v", "n": [1, 2.5]},
        "other": {"k": 2, "x": {}},
        "odd": {"a,b)": "odd"},
    }
    actual = call(text, data, template="{} items")
    assert actual == expected
    assert repr(actual) == repr(expected)


def test_a_seed_makes_random_numbers_reproducible_and_bounded() -> None:
    first = call("States.MathRandom(0, 999, 3)")
    assert first == call("States.MathRandom(0, 999, 3)")
    assert 0 <= first < 999
    assert len({call(f"States.MathRandom(0, 999, {seed})") for seed in range(20)}) > 10


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("States.Format('{} {}', 1)", "number of arguments do not match the occurrences of {}."),
        ("States.StringToJson('{')", "not JSON"),
        ("States.StringToJson('NaN')", "not JSON"),
        ("States.StringToJson($.deep)", "nested too deep"),
        ("States.ArrayPartition($.list, 0)", "not positive"),
        ("States.ArrayPartition($.list, 0.4)", "not positive"),
        ("States.ArrayRange(0, 1e300, 1)", "out of range"),
        ("States.ArrayRange(0, 1000, 1)", "longer than 1000"),
        ("States.ArrayRange(0, 5, 0)", "step is zero"),
        ("States.ArrayGetItem($.list, 3)", "out of bounds"),
        ("States.ArrayGetItem($.list, -1)", "out of bounds"),
        ("States.ArrayLength('text')", "an array expected"),
        ("States.Base64Decode('§')", "not Base64"),
        ("States.Base64Encode($.long)", "longer than 10000"),
        ("States.Hash('x', 'SHA-3')", "SHA-3"),
        ("States.JsonMerge($.list, $, false)", "two objects expected"),
        ("States.JsonMerge($, $, true)", "only shallow"),
        ("States.MathRandom(5, 5)", "not below"),
        ("States.MathAdd('1', 2)", "a number expected"),
        ("States.MathAdd(true, 2)", "a number expected"),
        ("States.StringSplit(5, ',')", "a string expected"),
    ],
)
def test_a_wrong_argument_is_a_fault_that_names_the_call(text: str, reason: str) -> None:
    data: Json = {"list": [1, 2, 3], "long": "x" * 10_001, "deep": "[" * 200_000}
    with pytest.raises(Fault) as failed:
        call(text, data)
    assert failed.value.error == "States.Runtime"
    prefix = f"The function '{text}' had the following error: Invalid arguments in States."
    cause = failed.value.cause or ""
    assert cause.startswith(prefix)
    assert reason in cause


def test_a_missing_argument_is_a_fault_that_shows_the_input() -> None:
    with pytest.raises(Fault) as failed:
        call("States.Format('{}', States.Array($.nope))", {"other": 1})
    assert failed.value.cause == (
        "The function 'States.Format('{}', States.Array($.nope))' had the following error: "
        "The JsonPath argument for the field '$.nope' could not be found in the input "
        "'{\"other\":1}'"
    )


@pytest.mark.parametrize(
    "text",
    [
        "States.Nope(1)",
        "States.UUID(1)",
        "States.Hash('x')",
        "States.Format()",
        "States.Array(1,)",
        "States.Array(1",
        "States.Array('a)",
        "States.Array(1) x",
        "States.Array(a)",
        "States.Array($.[)",
        "States.Array(01)",
        r"""States.StringToJson('{"text":"An \"escaped quote\""}')""",
        r"States.Format('\n')",
        "States.Array(" * 11 + ")" * 11,
    ],
)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - paths and calls word it differently
        compile_intrinsic(text)


def test_ten_calls_may_be_inside_each_other() -> None:
    assert call("States.Array(" * 10 + ")" * 10) == [[[[[[[[[[]]]]]]]]]]
