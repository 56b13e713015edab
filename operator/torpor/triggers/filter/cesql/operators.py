"""What each operator makes of the closures of its operands (CESQL, sections 3.4 and 3.7)."""

from __future__ import annotations

import operator as python
from collections.abc import Callable
from typing import Final

from torpor.triggers.filter.cesql.failures import FailureKind
from torpor.triggers.filter.cesql.syntax import Logic, Operator
from torpor.triggers.filter.cesql.values import (
    CASTS,
    MAX_INTEGER,
    MIN_INTEGER,
    Evaluate,
    Event,
    Failed,
    Outcome,
    Value,
    failed,
    passed_on,
    to_boolean,
    to_integer,
)

_COMPARE: Final[dict[Operator, Callable[[int, int], bool]]] = {
    Operator.LESS: python.lt,
    Operator.LESS_OR_EQUAL: python.le,
    Operator.GREATER: python.gt,
    Operator.GREATER_OR_EQUAL: python.ge,
}


def _divide(left: int, right: int) -> int:
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) is (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    return left - right * _divide(left, right)


_CALCULATE: Final[dict[Operator, Callable[[int, int], int]]] = {
    Operator.ADD: python.add,
    Operator.SUBTRACT: python.sub,
    Operator.MULTIPLY: python.mul,
    Operator.DIVIDE: _divide,
    Operator.REMAINDER: _remainder,
}


def negated(operand: Evaluate) -> Evaluate:
    """`NOT x`. The test kit has NOT refuse an integer, which the table of casts would take.

    What cannot be cast counts as false, and so NOT gives true beside the error.
    """

    def evaluate(event: Event) -> Outcome:
        value = operand(event)
        if type(value) is bool:
            return not value
        if isinstance(value, Failed):
            return passed_on(False, value)
        if type(value) is int:
            return failed(True, FailureKind.CAST, f"NOT: {value} is not a boolean")
        cast = to_boolean(value)
        return Failed(True, cast.failures) if isinstance(cast, Failed) else not cast

    return evaluate


def minus(operand: Evaluate) -> Evaluate:
    """`-x`, which is out of range for the least integer."""

    def evaluate(event: Event) -> Outcome:
        value = operand(event)
        number = value if isinstance(value, Failed) else to_integer(value)
        return passed_on(0, number) if isinstance(number, Failed) else _in_range(-number)

    return evaluate


def _in_range(number: int) -> int | Failed:
    if MIN_INTEGER <= number <= MAX_INTEGER:
        return number
    return failed(0, FailureKind.MATH, f"{number} does not fit in 32 bits")


def compared(left: Evaluate, constant: Value, *, expected: bool) -> Evaluate:
    """Equality with a literal, whose type says what the left side is cast to."""
    kind = type(constant)
    cast = CASTS[kind]

    def evaluate(event: Event) -> Outcome:
        value = left(event)
        if type(value) is not kind:
            value = value if isinstance(value, Failed) else cast(value)
            if isinstance(value, Failed):
                return passed_on(False, value)
        return (value == constant) is expected

    return evaluate


def joined(operator: Operator, left: Evaluate, right: Evaluate) -> Evaluate:
    """What a binary operator makes of its two sides."""
    if operator in (Operator.EQUAL, Operator.NOT_EQUAL):
        return _equality(left, right, expected=operator is Operator.EQUAL)
    compare = _COMPARE.get(operator)
    if compare is not None:
        return _integers(left, right, False, compare)
    calculate = _CALCULATE[operator]
    if calculate in (_divide, _remainder):
        return _integers(left, right, 0, _unless_zero(calculate))
    return _integers(left, right, 0, lambda one, other: _in_range(calculate(one, other)))


def _unless_zero(calculate: Callable[[int, int], int]) -> Callable[[int, int], Value | Failed]:
    def run(left: int, right: int) -> Value | Failed:
        if right == 0:
            return failed(0, FailureKind.MATH, f"{left} is divided by zero")
        return _in_range(calculate(left, right))

    return run


def _integers(
    left: Evaluate, right: Evaluate, zero: Value, run: Callable[[int, int], Value | Failed]
) -> Evaluate:
    """An operator on two integers."""

    def evaluate(event: Event) -> Outcome:
        one, other = left(event), right(event)
        if type(one) is not int or type(other) is not int:
            if isinstance(one, Failed) or isinstance(other, Failed):
                return passed_on(zero, one, other)
            one, other = to_integer(one), to_integer(other)
            if isinstance(one, Failed) or isinstance(other, Failed):
                return passed_on(zero, one, other)
        return run(one, other)

    return evaluate


def _equality(left: Evaluate, right: Evaluate, *, expected: bool) -> Evaluate:
    """Equality in the type of the right side."""

    def evaluate(event: Event) -> Outcome:
        one, other = left(event), right(event)
        if isinstance(one, Failed) or isinstance(other, Failed):
            return passed_on(False, one, other)
        if type(one) is not type(other):
            one = CASTS[type(other)](one)
            if isinstance(one, Failed):
                return passed_on(False, one)
        return (one == other) is expected

    return evaluate


def chained(first: Evaluate, rest: list[tuple[Logic, Evaluate]]) -> Evaluate:
    """AND leaves its right side alone after false, OR after true; both go from left to right."""
    steps = [(right, logic is Logic.XOR, logic is Logic.OR) for logic, right in rest]

    def evaluate(event: Event) -> Outcome:
        value = _condition(first(event))
        for right, exclusive, settled in steps:
            if isinstance(value, Failed):
                return value
            if exclusive:
                other = _condition(right(event))
                value = other if isinstance(other, Failed) else value is not other
            elif value is not settled:
                value = _condition(right(event))
        return value

    return evaluate


def _condition(value: Outcome) -> bool | Failed:
    if type(value) is bool:
        return value
    cast = value if isinstance(value, Failed) else to_boolean(value)
    return passed_on(False, cast) if isinstance(cast, Failed) else cast
