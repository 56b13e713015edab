"""Checks of the rules of a Choice state (ASL, "Choice State")."""

from __future__ import annotations

from torpor.workflows.asl.scope import Json, QueryLanguage
from torpor.workflows.asl.validate import expressions, values
from torpor.workflows.asl.validate.findings import Check, Spot
from torpor.workflows.asl.validate.shape import (
    Field,
    Shape,
    array_of,
    both,
    filled,
    in_jsonata,
    in_path,
)

_ORDERS = ("Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
_COMPARED: dict[str, tuple[Check, tuple[str, ...]]] = {
    "String": (values.text, _ORDERS),
    "Numeric": (values.number(), _ORDERS),
    "Boolean": (values.boolean, _ORDERS[:1]),
    "Timestamp": (values.timestamp, _ORDERS),
}
_TESTS = ("IsNull", "IsPresent", "IsNumeric", "IsString", "IsBoolean", "IsTimestamp")
_COMBINERS = ("And", "Or", "Not")


def _comparators() -> dict[str, Field]:
    found = {"StringMatches": in_path(values.text)}
    found |= {name: in_path(values.boolean) for name in _TESTS}
    for kind, (check, orders) in _COMPARED.items():
        for order in orders:
            found[kind + order] = in_path(check)
            found[kind + order + "Path"] = in_path(expressions.reference_path)
    return found


COMPARATORS = frozenset(_comparators())
"""The 39 comparison operators."""


def _nested(value: Json, spot: Spot) -> None:
    _check_rule(_NESTED, value, spot)


def _rule(value: Json, spot: Spot) -> None:
    _check_rule(_RULE, value, spot)


def _check_rule(shape: Shape, value: Json, spot: Spot) -> None:
    shape(value, spot)
    if not isinstance(value, dict):
        return
    if spot.language is QueryLanguage.JSONATA:
        if "Condition" not in value:
            spot.error("These fields are required: [Condition]")
        return
    _check_comparison(value, spot)


def _check_comparison(rule: dict[str, Json], spot: Spot) -> None:
    combiners = [name for name in _COMBINERS if name in rule]
    comparators = [name for name in rule if name in COMPARATORS]
    if len(combiners) + len(comparators) > 1:
        names = ", ".join((*combiners, *comparators))
        spot.error(f"There should only be one of the following fields: [{names}]")
    if combiners:
        if "Variable" in rule:
            spot.error("Field 'Variable' is not supported")
        return
    if "Variable" not in rule:
        spot.error("These fields are required: [Variable]")
    elif not comparators:
        spot.error("A comparison operator is required")


_EXPRESSION = {
    "Variable": in_path(expressions.reference_path),
    "And": in_path(filled(array_of(_nested))),
    "Or": in_path(filled(array_of(_nested))),
    "Not": in_path(_nested),
    "Comment": both(values.text),
    **_comparators(),
}
_NESTED = Shape(_EXPRESSION)
_RULE = Shape(
    {
        **_EXPRESSION,
        "Condition": in_jsonata(expressions.computed(values.boolean)),
        "Next": both(values.text),
        "Assign": both(expressions.assign),
        "Output": in_jsonata(expressions.jsonata_template),
    },
    required=("Next",),
)

choices = filled(array_of(_rule))
"""The value of a Choices field."""
