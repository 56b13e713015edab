"""Regular expressions: what they match, what is refused, and that none takes for ever."""

from __future__ import annotations

import time

import pytest

from tests.unit.workflows.asl.expressions import a_scope
from torpor.expressions.regex import compile_regex
from torpor.expressions.values import ABSENT
from torpor.workflows.asl.fault import QUERY_EVALUATION, Fault
from torpor.workflows.asl.jsonata import compile_jsonata
from torpor.workflows.asl.jsonpath import compile_path
from torpor.workflows.asl.scope import Json


def evaluate(text: str, data: Json) -> Json:
    return compile_jsonata(text).evaluate(a_scope(data), "Output")


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("$contains($states.input, /^a.C$/i)", "abc", True),
        ("$contains($states.input, /^b$/m)", "a\nb\nc", True),
        ("$contains($states.input, /^b$/)", "a\nb\nc", False),
        ("$match($states.input, /(b)(x)?/).groups", "abé", ["b", None]),
        ("$match($states.input, /c/).index", "éüc", 2),
        ("$split($states.input, /,\\s*/)", "é, b,c", ["é", "b", "c"]),
        ("$split($states.input, /,\\s*/, 2)", "a, b,c", ["a", "b"]),
        ("$replace($states.input, /(a)(b)/, '$2é$1$$')", "xabab", "xbéa$béa$"),
        ("$replace($states.input, /(a)b/, '$12-$0-$2', 1)", "abab", "a2-ab-ab"),
        ("$replace($states.input, /(a)b/, '\\\\n')", "ab", "\\n"),
        (
            "$replace($states.input, /[a-z]+/, function($m) { $uppercase($m.match) })",
            "é ab",
            "é AB",
        ),
        ("$contains($states.input, /\\u00e9\\//)", "é/", True),
        ("$contains($states.input, /^.b$/)", "\ud800b", True),
    ],
)
def test_what_regular_expressions_do(text: str, data: Json, expected: Json) -> None:
    assert evaluate(text, data) == expected


@pytest.mark.timeout(20)
def test_no_pattern_goes_back_and_forth_for_ever() -> None:
    text = "a" * 40 + "!"
    assert evaluate("$contains($states.input, /^(a+)+$/)", text) is False
    assert evaluate("$match($states.input, /(.*)*x/)", text) is ABSENT
    path = compile_path("$[?(@ =~ /(a|aa|a?)+b/)]")
    assert path.read(a_scope([text]), [text]) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("picture", ["[MNn]" * 8, "(a+)+x[Y]"])
def test_no_picture_of_a_date_goes_back_and_forth_for_ever(picture: str) -> None:
    assert evaluate(f"$toMillis($states.input, '{picture}')", "a" * 150 + "!") is ABSENT


def test_pictures_of_dates_are_read() -> None:
    text = "$toMillis($states.input, '[D1] [MNn] [Y0001] [H01]:[m01]')"
    assert evaluate(text, "3 January 2024 10:30") == 1_704_277_800_000


@pytest.mark.timeout(60)
def test_how_much_text_one_evaluation_matches_is_bounded() -> None:
    began = time.process_time()
    with pytest.raises(Fault, match="match too much text") as refused:
        evaluate("$count($match($states.input, /a.*b|a/))", "a" * 250_000)
    assert refused.value.error == QUERY_EVALUATION
    with pytest.raises(Fault, match="match too much text"):
        evaluate("$map([1..20000], function() { $contains($states.input, /^b/) })", "a" * 250_000)
    assert time.process_time() - began < 30
    # The next evaluation begins anew, and a plain separator costs what the text is long.
    assert evaluate("$count($split($states.input, /,/))", "ab," * 80_000) == 80_001


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", "(?<!a)b", r"(a)\1", "(", "(a{1000}){1000}", "a++", "\ud800"]
)
def test_what_cannot_be_matched_in_linear_time_is_refused_when_it_is_compiled(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        compile_regex(pattern)
    with pytest.raises(ValueError, match="invalid JSONata"):
        compile_jsonata(f"$contains('a', /{pattern}/)")
