"""JSONata: AWS's functions, null and undefined told apart, faults in AWS's words, and bounds."""

from __future__ import annotations

import copy
import math
import re
import threading

import pytest
from jsonata import Jsonata

from tests.unit.workflows.asl.expressions import FixedEntropy, a_scope
from torpor.expressions.jsonata import syntax_tree
from torpor.expressions.jsonata_functions import RefusedCall, bind_functions, plain
from torpor.expressions.values import ABSENT
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.scope import Json

DATA: Json = {
    "a": {"b": [1, 2, {"c": None}], "n": None, "e": [], "one": [7]},
    "rows": [{"v": 1}, {"v": 2}, {"v": None}],
    "x": 1.5,
    "text": "hello",
}


def evaluate(text: str, data: Json = DATA, **parts: Json) -> Json:
    return compile_jsonata(text).evaluate(a_scope(data, **parts), "Output")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$states.input.a.n", None),
        ("$states.input.a.nope", ABSENT),
        ("$states.input.nope.deeper", ABSENT),
        ("$states.input.text.deeper", ABSENT),
        ("$states.input.a.b", [1, 2, {"c": None}]),
        ("$states.input.a.e", []),
        ("$states.input.a.one", [7]),
        ("$states.input.rows[v=2]", {"v": 2}),
        ("$states.input.a.b[0]", 1),
        ("$states.result", ABSENT),
        ("$exists($states.input.a.n)", True),
        ("$type($states.input.a.n)", "null"),
        ("{'a': null, 'b': $states.input.nope}", {"a": None}),
        ("10 / 2", 5),
        ("[1..4]", [1, 2, 3, 4]),
        ("$partition([1, 2, 3], 2)", [[1, 2], [3]]),
        ("$partition([1, 2, 3], 2.9)", [[1, 2], [3]]),
        ("$partition([1], 0)", ABSENT),
        ("$partition([], 2)", ABSENT),
        ("$range(1, 9, 2)", [1, 3, 5, 7, 9]),
        ("$range(-1.7, 2, 1)", [-1, 0, 1, 2]),
        ("$range(3, 3, 1)", 3),
        ("$range(3, 1, 1)", ABSENT),
        ("$range(3, 1)", ABSENT),
        ("$hash('hello', 'MD5')", "5d41402abc4b2a76b9719d911017c592"),
        ("$hash('hello')", ABSENT),
        ("$random()", 0.5),
        ("$random(7) = $random(7)", True),
        ("$uuid()", FixedEntropy().uuid()),
        ("""$parse('{"a": [null, 1]}')""", {"a": [None, 1]}),
        ("$parse('null')", None),
        ("$now()", "2023-11-14T22:13:20.000Z"),
        ("$millis()", 1_700_000_000_000),
        ("$variable := 1", 1),
        ("$sum($states.input.rows[[0..1]].v)", 3),
        ("$partition(1, 2)", [[1]]),
        ("$partition([1])", ABSENT),
        ("$range(1, 3, 0)", ABSENT),
        ("$parse($states.input.nope)", ABSENT),
        ("$shuffle($states.input.nope)", ABSENT),
        ("$shuffle(5)", [5]),
        ("$pad($states.input.nope, 4)", ABSENT),
        ("$pad('a', 3, '-')", "a--"),
        ("$join('a')", "a"),
        ("$join(['a', 'b'], '-')", "a-b"),
        ("$split($states.input.nope, ',')", ABSENT),
        ("$split('a,b', ',')", ["a", "b"]),
        ("$replace($states.input.nope, 'X', '-')", ABSENT),
        ("$replace('aXbX', 'X', '-', 1)", "a-bX"),
        ("$replace('abc', /b/, '-')", "a-c"),
        ("$replace('a', 'z', '-')", "a"),
        ("{'f': function($x){$x}}", {}),
        ("[function($x){1}, 2]", [2]),
        ("{'r': [1..3]}", {"r": [1, 2, 3]}),
    ],
)
def test_an_expression_gives_what_it_gives_on_aws(text: str, expected: Json) -> None:
    actual = evaluate(text)
    assert actual == expected
    assert type(actual) is type(expected)


def test_variables_results_errors_and_context_are_in_reach() -> None:
    parts: Json = {
        "variables": {"order": {"id": 3}, "nil": None},
        "result": {"r": 1},
        "error_output": {"Error": "E"},
        "context": {"Execution": {"Id": "e"}},
    }
    assert evaluate("$order.id + $states.result.r", **parts) == 4
    assert evaluate("$nil", **parts) is None
    assert evaluate("$type($nil)", **parts) == "null"
    assert evaluate("$states.errorOutput.Error & $states.context.Execution.Id", **parts) == "Ee"
    assert evaluate("$noSuchVariable", **parts) is ABSENT


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 + 'a'", 'T2002: The right side of the "+" operator must evaluate to a number'),
        ("$eval('1')", "T1006: Attempted to invoke a non-function"),
        ("$error('boom')", "D3137: boom"),
        (
            "$length(1)",
            'T0410: Argument 1 of function "length" does not match function signature',
        ),
    ],
)
def test_a_failed_evaluation_is_a_fault_in_the_words_of_aws(text: str, reason: str) -> None:
    with pytest.raises(Fault) as failed:
        evaluate(text)
    assert failed.value.error == "States.QueryEvaluationError"
    assert failed.value.cause == (
        f"The JSONata expression '{text}' specified for the field 'Output' "
        f"threw an error during evaluation. {reason}"
    )


@pytest.mark.parametrize(
    "text",
    [
        *("$parse('{')", "$parse(1)", "$hash('x', 'SHA-3')", "$hash(1, 'MD5')"),
        *("$partition([1], 'x')", "$number('x')", "1 / 0", "$power(10, 400)", "$pad(1, 2)"),
        *("$replace('aXbX', 'X', '-', -1)", "$fromMillis(1e20)", "$toMillis('x')"),
    ],
)
def test_any_refusal_is_a_query_evaluation_error(text: str) -> None:
    with pytest.raises(Fault) as failed:
        evaluate(text)
    assert failed.value.error == "States.QueryEvaluationError"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("($f := function($n){$f($n + 1)}; $f(0))", "infinite loop"),
        ("($f := function($n){$n <= 1 ? 1 : $n * $f($n - 1)}; $f(40))", "Depth=101 max=100"),
        ("($f := function($s, $n){$n = 0 ? $s : $f($s & $s, $n - 1)}; $f('x', 60))", "memory"),
        ("$pad('x', 100000000)", "memory limit exceeded"),
        ("$range(1, 400000, 1)", "memory limit exceeded"),
    ],
)
def test_an_expression_cannot_hang_or_fill_the_engine(text: str, reason: str) -> None:
    with pytest.raises(Fault, match=reason):
        evaluate(text)


@pytest.mark.parametrize("text", ["$f(", "{", "1 +", ""])
def test_bad_syntax_is_refused_when_compiled(text: str) -> None:
    with pytest.raises(ValueError, match="invalid JSONata expression"):
        compile_jsonata(text)


@pytest.mark.parametrize(
    "text",
    [
        "$append($states.input.a.b, 9)",
        "$sort($states.input.a.one)",
        "$merge([$states.input.a, {'n': 1}])",
        "$states.input ~> |a|{'n': 2}|",
        "$reverse($states.input.a.b)",
        "$shuffle($states.input.a.b)",
    ],
)
def test_an_expression_never_changes_its_input(text: str) -> None:
    data = copy.deepcopy(DATA)
    evaluate(text, data)
    assert data == DATA


def test_the_delimiters_tell_an_expression_from_a_text() -> None:
    assert is_jsonata("{% $x %}")
    assert not any(map(is_jsonata, ("$x", "{% $x", " {% $x %}", "{%}", "{}")))


def test_threads_do_not_see_each_others_values() -> None:
    expression = compile_jsonata("$sum([1..20].($ * $states.input.k))")
    wrong: list[Json] = []

    def work(factor: int) -> None:
        scope = a_scope({"k": factor})
        results = {expression.evaluate(scope) for _ in range(50)}
        if results != {210 * factor}:
            wrong.append((factor, results))

    threads = [threading.Thread(target=work, args=(factor,)) for factor in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not wrong


@pytest.mark.parametrize(
    "text", ["1/0", "-1/0", "0/0", "1 % 0", "$power(10, 400)", "[1/0]", "$states.input/0"]
)
def test_a_number_that_json_has_not_is_refused_in_words_of_jsonata(text: str) -> None:
    with pytest.raises(Fault) as failure:
        compile_jsonata(text).evaluate(a_scope(7), "Output")
    assert failure.value.error == "States.QueryEvaluationError"
    assert "D1001: Number out of range" in (failure.value.cause or "")
    assert "Error:" not in (failure.value.cause or "").split("evaluation.")[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$parseInteger('12', '')", "sequence starting with that is not supported"),
        ("$number('0x')", "given a value that it cannot take"),
        ("$sort([1, 'a'])", "given a value that it cannot take"),
        ("$fromMillis(1, '[')", "No matching closing bracket"),
    ],
)
def test_a_failure_is_told_without_the_words_of_python(text: str, told: str) -> None:
    with pytest.raises(Fault) as failed:
        compile_jsonata(text).evaluate(a_scope(), "Output")
    assert told in str(failed.value)
    assert not re.search(r"Error: |object|instances|int\(\)|recursion", _reason_of(failed.value))


def _reason_of(failed: Fault) -> str:
    return str(failed).partition("threw an error during evaluation. ")[2]


def test_what_nests_too_deeply_is_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match="Expression is nested too deeply"):
        compile_jsonata("(" * 20_000 + "1" + ")" * 20_000)


def test_a_thread_keeps_a_bounded_number_of_compiled_expressions() -> None:
    before = evaluate("'kept' & 1")
    for number in range(4_100):
        syntax_tree(f"{number}")
    assert evaluate("'kept' & 1") == before


@pytest.mark.parametrize(
    ("value", "name"),
    [(math.inf, "Infinity"), (-math.inf, "-Infinity"), (math.nan, "NaN"), (2.0, 2), (0.5, 0.5)],
)
def test_a_number_that_json_has_not_gets_the_name_that_javascript_gives_it(
    value: float, name: Json
) -> None:
    assert plain({"n": value}) == {"n": name}


@pytest.mark.parametrize("call", ["random", "uuid", "now"])
def test_time_and_chance_belong_to_an_evaluation(call: str) -> None:
    """A library instance that is asked outside of one has no clock of its own."""
    instance = Jsonata(f"${call}()")
    bind_functions(instance)
    with pytest.raises(RefusedCall, match="no evaluation is running"):
        instance.evaluate(None)
