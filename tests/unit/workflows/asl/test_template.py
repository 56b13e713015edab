"""Payload templates: what is dynamic, what stays a literal, and which place a fault names."""

from __future__ import annotations

import pytest

from tests.unit.workflows.asl.expressions import a_scope
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.template import compile_template

LITERALS: Json = {
    "path": "$.no.such",
    "context": "$$.Execution.Id",
    "intrinsic": "States.UUID()",
    "list": ["$.x", "a.$", [], {"deep": None}],
}


def fill(template: Json, language: QueryLanguage, data: Json, **parts: Json) -> Json:
    return compile_template(template, language, "Output").evaluate(a_scope(data, **parts), data)


def test_jsonpath_fills_keys_that_end_in_dollar_and_nothing_else() -> None:
    template = {
        "whole.$": "$",
        "name.$": "$.name",
        "id.$": "$$.Execution.Id",
        "variable.$": "$v.w",
        "call.$": "States.Format('<{}>', $.name)",
        "nested": {"list": [1, {"name.$": "$.name"}, "$.name"]},
        **LITERALS,
    }
    context, data = {"Execution": {"Id": "e"}}, {"name": "Ann"}
    filled = fill(
        template, QueryLanguage.JSONPATH, data, context=context, variables={"v": {"w": 2}}
    )
    assert filled == {
        "whole": data,
        "name": "Ann",
        "id": "e",
        "variable": 2,
        "call": "<Ann>",
        "nested": {"list": [1, {"name": "Ann"}, "$.name"]},
        **LITERALS,
    }
    assert list(filled)[:3] == ["whole", "name", "id"]


def test_jsonata_fills_delimited_texts_anywhere() -> None:
    template = {
        "a": ["{% $states.input.x + 1 %}", "$.x"],
        "k.$": "$.x",
        "whole": "{%$states.input%}",
    }
    filled = fill(template, QueryLanguage.JSONATA, {"x": 1})
    assert filled == {"a": [2, "$.x"], "k.$": "$.x", "whole": {"x": 1}}
    assert fill("{% null %}", QueryLanguage.JSONATA, {}) is None


@pytest.mark.parametrize("language", list(QueryLanguage))
def test_a_template_without_dynamic_places_is_shared(language: QueryLanguage) -> None:
    template = compile_template(LITERALS, language)
    assert template.is_constant
    assert template.evaluate(a_scope(), None) is LITERALS


def test_evaluating_twice_gives_separate_values() -> None:
    template = compile_template({"a": [{"x.$": "$.x"}]}, QueryLanguage.JSONPATH)
    first = template.evaluate(a_scope(), {"x": 1})
    second = template.evaluate(a_scope(), {"x": 2})
    assert (first, second) == ({"a": [{"x": 1}]}, {"a": [{"x": 2}]})


@pytest.mark.parametrize(
    ("template", "language", "expected"),
    [
        ({"a.$": "$.x"}, QueryLanguage.JSONPATH, False),
        ({"a.$": "$$.State"}, QueryLanguage.JSONPATH, True),
        ({"a": [{"b.$": "States.Array(States.Array($$.State))"}]}, QueryLanguage.JSONPATH, True),
        ("{% $states.context.State %}", QueryLanguage.JSONATA, True),
        ("{% $v %}", QueryLanguage.JSONATA, False),
    ],
)
def test_a_template_knows_whether_it_reads_the_context(
    template: Json, language: QueryLanguage, *, expected: bool
) -> None:
    assert compile_template(template, language).uses_context is expected


def test_a_missing_path_is_a_fault_that_names_field_and_input() -> None:
    with pytest.raises(Fault) as failed:
        fill({"deep": {"value.$": "$.nope"}}, QueryLanguage.JSONPATH, {"a": "é"})
    assert failed.value.error == "States.Runtime"
    assert failed.value.cause == (
        "The JSONPath '$.nope' specified for the field 'value.$' "
        'could not be found in the input \'{"a":"é"}\''
    )


@pytest.mark.parametrize(
    ("template", "field"),
    [
        ("{% $nope %}", "Output"),
        ({"a": {"b": [0, "{% $nope %}"]}}, "Output/a/b[1]"),
        ([["{% $nope %}"]], "Output[0][0]"),
    ],
)
def test_an_undefined_expression_is_a_fault_that_names_its_place(
    template: Json, field: str
) -> None:
    with pytest.raises(Fault) as failed:
        fill(template, QueryLanguage.JSONATA, {})
    assert failed.value.error == "States.QueryEvaluationError"
    assert failed.value.cause == (
        f"The JSONata expression '$nope' specified for the field '{field}' "
        "returned nothing (undefined)."
    )


@pytest.mark.parametrize(
    ("template", "language"),
    [
        ({"a.$": 5}, QueryLanguage.JSONPATH),
        ({"a.$": "no path"}, QueryLanguage.JSONPATH),
        ({"a.$": "States.Nope()"}, QueryLanguage.JSONPATH),
        (["{% ( %}"], QueryLanguage.JSONATA),
    ],
)
def test_a_bad_place_is_refused_when_compiled(template: Json, language: QueryLanguage) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each language words it differently
        compile_template(template, language)
