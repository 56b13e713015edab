"""Transforms: what they make of an event, what is refused, and that none makes too much."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from torpor.errors import InvalidResource
from torpor.resources.trigger import Transform
from torpor.triggers.transform import TransformFailed, compile_transform

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "order.created",
    "data": {
        "orderId": "o-1",
        "total": 12.5,
        "paid": False,
        "note": None,
        "items": [{"sku": "a", "count": 2}, {"sku": "b", "count": 1}],
        "a-b": {"c": "d"},
    },
}


@dataclass(frozen=True)
class FixedEntropy:
    """Always the same moment and the same draw."""

    def now(self) -> float:
        return 1_700_000_000.0

    def uuid(self) -> str:
        return "6f1f36a4-5a0b-4b3c-9d65-0f2c7e9f6a11"

    def random(self) -> float:
        return 0.5


def filled(template: Any, event: dict[str, Any] = EVENT) -> Any:
    return compile_transform(Transform(input=template)).apply(event)


def queried(text: str, event: dict[str, Any] = EVENT) -> Any:
    return compile_transform(Transform(jsonata=text), FixedEntropy()).apply(event)


def test_without_a_transform_the_event_stays() -> None:
    assert compile_transform(Transform()).apply(EVENT) == EVENT


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${id}", "7"),
        ("${ data.total }", 12.5),
        ("${data.paid}", False),
        ("${data.note}", None),
        ("${data.nothing.here}", None),
        ("${data.items[*].sku}", ["a", "b"]),
        ("${data.items[?count > `1`].{sku: sku} | [0]}", {"sku": "a"}),
        ("${{id: id, more: {type: type}}}", {"id": "7", "more": {"type": "order.created"}}),
        ('${data."a-b".c}', "d"),
        ("${'}'}", "}"),
        ('${`{"a": "}"}`}', {"a": "}"}),
        ("${'it\\'s }'}", "it's }"),
        ("${@}", EVENT),
    ],
)
def test_a_string_that_is_one_expression_keeps_the_type(template: str, expected: Any) -> None:
    found = filled(template)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("order ${data.orderId}!", "order o-1!"),
        ("${id}${id}", "77"),
        ("${data.total}/${data.paid}/${data.note}/${data.none}", "12.5/false//"),
        ("items: ${data.items[0]}", 'items: {"sku":"a","count":2}'),
        ("costs $5 {x}", "costs $5 {x}"),
        ("$${id} is ${id}", "${id} is 7"),
        ("$$${id}", "$${id}"),
        ("$", "$"),
        ("", ""),
    ],
)
def test_within_a_text_the_value_becomes_text(template: str, expected: str) -> None:
    assert filled(template) == expected


def test_a_template_keeps_its_shape() -> None:
    template = {"a": [1, None, True, {"${id}": "${id}"}], "b": {}, "c": "x"}
    assert filled(template) == {"a": [1, None, True, {"${id}": "7"}], "b": {}, "c": "x"}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("${", "spec.transform.input"),
        ({"a": ["x", "${id"]}, "spec.transform.input.a[1]"),
        ({"a": "${}"}, "spec.transform.input.a"),
        ({"a": {"b": "${data.[}"}}, "spec.transform.input.a.b"),
        ("${" + "(" * 1500 + "}", "spec.transform.input"),
        ("${'" + "x" * 3000 + "'}", "spec.transform.input"),
        ("${nosuch(}", "spec.transform.input"),
    ],
)
def test_a_bad_template_is_refused_with_its_place(template: Any, path: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        compile_transform(Transform(input=template))
    assert refused.value.path == path


def test_a_template_that_nests_too_deep_is_refused() -> None:
    template: Any = "x"
    for _ in range(40):
        template = [template]
    with pytest.raises(InvalidResource, match="deeper than 32"):
        compile_transform(Transform(input=template))


@pytest.mark.parametrize(
    "expression",
    [
        "nosuch(id)",
        "length(data.total)",
        "sum(data.items)",
        "data.items[::0]",
        "to_number('nan')",
        "to_number('" + "9" * 40 + "')",
        "&id",
        "[&id]",
    ],
)
def test_an_expression_that_fails_names_its_place(expression: str) -> None:
    with pytest.raises(TransformFailed) as failed:
        filled({"x": {"y": f"${{{expression}}}"}})
    assert failed.value.path == "spec.transform.input.x.y"


@pytest.mark.parametrize(
    "expression",
    [
        " | ".join(["[@, @]"] * 40),
        " | ".join(["[@, @][]"] * 40),
        " | ".join(["{a: @, b: @}"] * 40 + ["to_string(@)"]),
        "[" + " | ".join(["[@, @]"] * 30) + " == " + " | ".join(["[@, @]"] * 30) + "]",
        "join(data.long, data.list)",
        "data.list[*].join(@, ['a', 'b'])",
    ],
)
def test_no_expression_builds_too_much(expression: str) -> None:
    event = {"data": {"long": "x" * 100_000, "list": ["x" * 20] * 10_000}}
    problem = "within 6291456 bytes"
    began = time.perf_counter()
    try:
        filled(f"${{{expression}}}", event)
    except TransformFailed as failed:
        problem = failed.problem
    assert "bytes" in problem
    assert time.perf_counter() - began < 5


def test_the_limit_of_an_expression_is_named_whatever_is_left_of_it() -> None:
    event = {"data": "x" * 4_000_000}
    with pytest.raises(TransformFailed, match="builds more than 16777216 bytes in all its steps"):
        filled("${[[data, data, data], [data, data, data]]}", event)


def test_a_result_that_is_too_large_is_refused() -> None:
    event = {"data": "x" * 4_000_000}
    with pytest.raises(TransformFailed, match="larger than 6291456 bytes"):
        filled({"a": "${data}", "b": "${data}"}, event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.orderId", "o-1"),
        (
            "{'order': data.orderId, 'pieces': $sum(data.items.count)}",
            {"order": "o-1", "pieces": 3},
        ),
        ("data.note", None),
        ("data.items[count > 1].sku", "a"),
        ("$event.id", "7"),
        ("$", EVENT),
        ("$now()", "2023-11-14T22:13:20.000Z"),
        ("$uuid()", "6f1f36a4-5a0b-4b3c-9d65-0f2c7e9f6a11"),
        ("$hash('a', 'MD5')", "0cc175b9c0f1b6a831c399e269772661"),
    ],
)
def test_jsonata(text: str, expected: Any) -> None:
    assert queried(text) == expected


def test_jsonata_changes_no_event() -> None:
    before = repr(EVENT)
    queried("$ ~> |data|{'total': 0}|")
    assert repr(EVENT) == before


@pytest.mark.parametrize("text", ["", "a +", "$f(", "'" + "x" * 40_000 + "'", "(" * 5_000])
def test_bad_jsonata_is_refused(text: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        compile_transform(Transform(jsonata=text))
    assert refused.value.path == "spec.transform.jsonata"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("data.nothing", "no value for this event"),
        ("data.orderId + 1", "T2001"),
        ("$error('my reason')", "my reason"),
        ("($f := function($n) { $f($n + 1) + 1 }; $f(1))", "Stack overflow"),
        ("$reduce([1..400000], function($a, $b) { $a + $b })", "timeout"),
        ("$join([1..1000000].('x' & $))", r"timeout|memory"),
        ("$eval('1')", "T1006"),
        ("$count([1..80].$pad('x', 6000000))", "memory limit exceeded"),
        ("$replace($pad('a', 100000, 'a'), 'a', $pad('', 200000, 'y'))", "memory limit exceeded"),
        ("[1..2000].$pad('', 200000, 'y')", "memory limit exceeded"),
        ("$parse($pad('', 2000000, '[]'))", "memory limit exceeded"),
        ("$parse('1e400')", "too large a number"),
    ],
)
def test_jsonata_that_fails_says_why(text: str, problem: str) -> None:
    with pytest.raises(TransformFailed, match=problem):
        queried(text)
