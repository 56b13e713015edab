"""Reads the numbers of a pattern: the ranges of `numeric`, and which numbers can be compared.

What is refused, and the reasons, are event-ruler's (`JsonRuleCompiler`, `ComparableNumber`).
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from torpor.triggers.filter.pattern_error import Refused
from torpor.triggers.filter.pattern_values import InRange, Number, Test, is_number

_LARGEST = 500_000_000_000
_RANGE = "-5.0E11 and 5.0E11"
_DECIMALS = 6
_BOUNDS = {"<": True, "<=": False, ">": True, ">=": False}
"""Operators of `numeric` that bound a range, and whether the bound itself is excluded."""


def read_numeric(value: Any) -> Test:
    """The range that the operand of `numeric` is; Refused where it is none."""
    if not isinstance(value, list):
        raise Refused("Value of numeric must be an array.")
    operator = value[0] if value else None
    if not isinstance(operator, str):
        raise Refused(f"Invalid member in numeric match: {_shown(operator)}")
    if operator != "=" and operator not in _BOUNDS:
        raise Refused(f"Unrecognized numeric range operator: {_shown(operator)}")
    bound = _bound(value, 1, "equals" if operator == "=" else operator)
    if len(value) > 2:
        return _between(operator, bound, value)
    return _one_sided(operator, bound)


def _bound(value: list[Any], at: int, operator: str) -> Number:
    if len(value) <= at or not is_number(value[at]):
        raise Refused(f"Value of {operator} must be numeric")
    return comparable(value[at])


def _one_sided(operator: str, bound: Number) -> Test:
    if operator == "=":
        return InRange(bound, False, bound, False)
    if operator in (">", ">="):
        return InRange(bound, _BOUNDS[operator], None, False)
    return InRange(None, False, bound, _BOUNDS[operator])


def _shown(value: Any) -> str:
    """A value in a reason, kept short."""
    return value[:40] if isinstance(value, str) else type(value).__name__


def _between(operator: str, bottom: Number, value: list[Any]) -> Test:
    upper = value[2]
    if operator not in (">", ">="):
        raise Refused("Too many elements in numeric expression")
    if not isinstance(upper, str):
        raise Refused(f"Bad value in numeric range: {_shown(upper)}")
    if upper not in ("<", "<="):
        raise Refused(f"Bad numeric range operator: {_shown(upper)}")
    top = _bound(value, 3, upper)
    if len(value) > 4:
        raise Refused("Too many terms in numeric range expression")
    if not bottom < top:
        raise Refused("Bottom must be less than top")
    return InRange(bottom, _BOUNDS[operator], top, _BOUNDS[upper])


def comparable(number: Number) -> Number:
    """The number, if it is one that event-ruler compares: within 5e11, at most six decimals."""
    if not -_LARGEST <= number <= _LARGEST:
        raise Refused(f"Value must be between {_RANGE}, inclusive")
    digits = Decimal(repr(number)).normalize().as_tuple().exponent
    if isinstance(digits, int) and -digits > _DECIMALS:
        raise Refused(f"Only values upto {_DECIMALS} decimals are supported")
    return number


def read_number(number: Number) -> Number:
    """A number that is compared exactly: any that JSON can spell."""
    if isinstance(number, float) and not math.isfinite(number):
        raise Refused("Match value must be String, number, true, false, or null")
    return number
