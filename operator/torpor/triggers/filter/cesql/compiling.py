"""Turns a syntax tree into closures.

An operator whose operand failed comes to the zero value of its type, with the operand's errors
(section 3.2: `1 / missing` is 0 and a missing attribute, not a division by zero).
"""

from __future__ import annotations

from typing import Any, Final

from torpor.triggers.filter.cesql.failures import FailureKind
from torpor.triggers.filter.cesql.functions import Function, called, find_function
from torpor.triggers.filter.cesql.like import compile_like
from torpor.triggers.filter.cesql.operators import chained, compared, joined, minus, negated
from torpor.triggers.filter.cesql.syntax import (
    Attribute,
    Binary,
    Call,
    Chain,
    Exists,
    In,
    Like,
    Literal,
    Minus,
    Node,
    Not,
    Operator,
)
from torpor.triggers.filter.cesql.values import (
    CASTS,
    ZEROS,
    Evaluate,
    Event,
    Failed,
    Outcome,
    attribute_value,
    failed,
    passed_on,
    to_string,
)

_REQUIRED: Final = frozenset({"id", "source", "specversion", "type"})
_NO_ATTRIBUTE: Final = "data"


def compile_node(node: Node) -> Evaluate:
    """The closure that evaluates a syntax tree; it never raises."""
    match node:
        case Literal(value):
            return lambda event: value
        case Attribute(name):
            return _attribute(name)
        case Exists(name):
            return _exists(name)
        case Not(operand):
            return negated(compile_node(operand))
        case Minus(operand):
            return minus(compile_node(operand))
        case Binary():
            return _binary(node)
        case Chain(first, rest):
            return chained(compile_node(first), [(one, compile_node(right)) for one, right in rest])
        case Like(operand, pattern, inverted):
            return _like(compile_node(operand), pattern, inverted=inverted)
        case In(operand, members, inverted):
            return _in(compile_node(operand), tuple(map(compile_node, members)), inverted=inverted)
        case Call(name, arguments):
            return _call(name, tuple(map(compile_node, arguments)))


def _attribute(name: str) -> Evaluate:
    missing = failed(False, FailureKind.MISSING_ATTRIBUTE, f"the event has no attribute {name!r}")
    if name == _NO_ATTRIBUTE:
        return lambda event: missing

    def evaluate(event: Event) -> Outcome:
        value = event.get(name)
        if type(value) is str:
            return value
        return missing if value is None else attribute_value(value)

    return evaluate


def _exists(name: str) -> Evaluate:
    if name in _REQUIRED or name == _NO_ATTRIBUTE:
        return lambda event: name in _REQUIRED
    return lambda event: event.get(name) is not None


def _binary(node: Binary) -> Evaluate:
    equal = node.operator is Operator.EQUAL
    if isinstance(node.right, Literal) and (equal or node.operator is Operator.NOT_EQUAL):
        return compared(compile_node(node.left), node.right.value, expected=equal)
    return joined(node.operator, compile_node(node.left), compile_node(node.right))


def _like(operand: Evaluate, pattern: str, *, inverted: bool) -> Evaluate:
    matches = compile_like(pattern)

    def evaluate(event: Event) -> Outcome:
        value = operand(event)
        if isinstance(value, Failed):
            return passed_on(False, value)
        text = value if type(value) is str else to_string(value)
        return matches(text) is not inverted

    return evaluate


def _in(operand: Evaluate, members: tuple[Evaluate, ...], *, inverted: bool) -> Evaluate:
    """Whether a member equals the left side, in its type; the first equal one decides."""

    def evaluate(event: Event) -> Outcome:
        value = operand(event)
        if isinstance(value, Failed):
            return passed_on(False, value)
        kind = type(value)
        for evaluate_member in members:
            member: Any = evaluate_member(event)
            if type(member) is not kind and not isinstance(member, Failed):
                member = CASTS[kind](member)
            if isinstance(member, Failed):
                return passed_on(False, member)
            if member == value:
                return not inverted
        return inverted

    return evaluate


def _call(name: str, arguments: tuple[Evaluate, ...]) -> Evaluate:
    function = find_function(name, len(arguments))
    if function is None:
        reason = f"there is no function {called(name, len(arguments))}"
        missing = failed(False, FailureKind.MISSING_FUNCTION, reason)
        return lambda event: missing
    return _invocation(function, arguments)


def _invocation(function: Function, arguments: tuple[Evaluate, ...]) -> Evaluate:
    kinds = function.types(len(arguments))
    casts = tuple((one, CASTS.get(kind)) for one, kind in zip(arguments, kinds, strict=True))
    zero, run = ZEROS[function.returns], function.run

    def evaluate(event: Event) -> Outcome:
        given: list[Any] = []
        for argument, cast in casts:
            value: Any = argument(event)
            if cast is not None and not isinstance(value, Failed):
                value = cast(value)
            given.append(value)
        if any(isinstance(value, Failed) for value in given):
            return passed_on(zero, *given)
        return run(*given)

    return evaluate
