"""Checks of Retry and Catch (ASL, "Errors")."""

from __future__ import annotations

from functools import partial

from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.validate import expressions, values
from torpor.workflows.asl.validate.findings import Check, Spot
from torpor.workflows.asl.validate.shape import (
    Shape,
    array_of,
    both,
    filled,
    in_jsonata,
    in_path,
)

ALL_ERRORS = "States.ALL"

MAX_DELAY_SECONDS = 31_622_400
"""What MaxDelaySeconds must stay below: 366 days."""

_with_error = partial(expressions.with_states, "errorOutput")

_ERRORS = both(filled(array_of(values.text)))
_RETRIER = Shape(
    {
        "ErrorEquals": _ERRORS,
        "IntervalSeconds": both(values.integer(1, values.MAX_SECONDS)),
        "MaxAttempts": both(values.integer(0, values.MAX_SECONDS)),
        "BackoffRate": both(values.number(least=1.0)),
        "MaxDelaySeconds": both(values.integer(1, MAX_DELAY_SECONDS - 1)),
        "JitterStrategy": both(values.one_of("FULL", "NONE")),
        "Comment": both(values.text),
    },
    required=("ErrorEquals",),
)
_CATCHER = Shape(
    {
        "ErrorEquals": _ERRORS,
        "Next": both(values.text),
        "ResultPath": in_path(expressions.nullable(expressions.result_path)),
        "Output": in_jsonata(_with_error(expressions.jsonata_template)),
        "Assign": both(_with_error(expressions.assign)),
        "Comment": both(values.text),
    },
    required=("ErrorEquals", "Next"),
)


def _rules(shape: Shape) -> Check:
    each = array_of(shape)

    def checked(value: Json, spot: Spot) -> None:
        each(value, spot)
        if isinstance(value, list):
            _check_wildcards(value, spot)

    return checked


def _check_wildcards(rules: list[Json], spot: Spot) -> None:
    for index, rule in enumerate(rules):
        errors = rule.get("ErrorEquals") if isinstance(rule, dict) else None
        if not isinstance(errors, list) or ALL_ERRORS not in errors:
            continue
        if len(errors) > 1 or index < len(rules) - 1:
            place = spot.item(index).field("ErrorEquals").item(errors.index(ALL_ERRORS))
            place.error(f"{ALL_ERRORS} must appear alone and at end of list")


retry = _rules(_RETRIER)
"""The value of a Retry field."""

catch = _rules(_CATCHER)
"""The value of a Catch field."""
