"""The commonest JSONata expressions as closures: paths, constants, objects, arithmetic, logic.

A definition's conditions are nearly always of this kind, and a closure is forty times quicker than
the library. Where JSONata has rules of its own (arrays in paths, undefined or mixed operands) a
closure answers `UNDECIDED`, and the library evaluates the expression.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from torpor.expressions.values import ABSENT
from torpor.workflows.asl.scope import Json, Scope

Evaluate = Callable[[Scope], Json]

UNDECIDED: Final = object()
"""The answer of a closure that leaves the expression to the library."""

_ROOTS: Final[dict[str, Evaluate]] = {
    "input": lambda scope: scope.input,
    "result": lambda scope: scope.result,
    "errorOutput": lambda scope: scope.error_output,
    "context": lambda scope: scope.context,
}

_COMPARE: Final[dict[str, Callable[[Json, Json], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_CALCULATE: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_EXACT: Final = 2.0**53
"""Below this every whole number is a float of its own: JSONata counts in floats."""

_ORDERED: Final = frozenset({"<", "<=", ">", ">="})
_UNDERSTOOD: Final = frozenset(
    "type value lhs lhs_object rhs steps procedure arguments id position bp lbp".split()  # noqa: SIM905
)
_BOOKKEEPING: Final = frozenset({"_outer_instance", "outer_instance"})


def direct(node: Any) -> Evaluate | None:
    """The closure of a node of the library's syntax tree, None where only the library will do."""
    if _has_more(node):
        return None
    match node.type:
        case "variable":
            return _path([node])
        case "path":
            return _path(node.steps)
        case "string" | "number" | "value":
            return _constant(node.value)
        case "binary":
            return _binary(node)
        case "unary" if node.value == "{":
            return _object(node.lhs_object)
        case "function":
            return _negation(node)
        case _:
            return None


def _has_more(node: Any) -> bool:
    """Whether a node carries a filter, a grouping, a binding or anything else not known here."""
    carried = {name for name, value in vars(node).items() if value}
    return not carried - _BOOKKEEPING <= _UNDERSTOOD


def _constant(value: Any) -> Evaluate | None:
    if not isinstance(value, str | int | float):
        return None
    return lambda scope: value


def _path(steps: list[Any]) -> Evaluate | None:
    first, *rest = steps
    if first.type != "variable" or any(step.type != "name" for step in rest):
        return None
    if any(map(_has_more, steps)):
        return None
    names = [str(step.value) for step in rest]
    if first.value != "states":
        return _walk(_variable(first.value), tuple(names)) if first.value else None
    root = _ROOTS.get(names[0]) if names else None
    return None if root is None else _walk(root, tuple(names[1:]))


def _variable(name: str) -> Evaluate:
    """A variable's value; a name that is none may be one of the library's functions."""
    return lambda scope: scope.variables.get(name, UNDECIDED)


def _walk(root: Evaluate, names: tuple[str, ...]) -> Evaluate:
    if not names:
        return root

    def evaluate(scope: Scope) -> Json:
        node = root(scope)
        for name in names:
            if type(node) is not dict:
                return UNDECIDED
            node = node.get(name, ABSENT)
        return node

    return evaluate


def _binary(node: Any) -> Evaluate | None:
    left, right = direct(node.lhs), direct(node.rhs)
    if left is None or right is None:
        return None
    if node.value in ("and", "or"):
        return _logic(left, right, decided=node.value == "or")
    if node.value == "&":
        return _joined(left, right)
    calculate = _CALCULATE.get(node.value)
    if calculate is not None:
        return _arithmetic(left, right, calculate)
    compare = _COMPARE.get(node.value)
    if compare is None:
        return None
    return _comparison(left, right, compare, booleans=node.value not in _ORDERED)


def _comparison(
    left: Evaluate, right: Evaluate, compare: Callable[[Json, Json], bool], *, booleans: bool
) -> Evaluate:
    def evaluate(scope: Scope) -> Json:
        one, other = left(scope), right(scope)
        kind, other_kind = type(one), type(other)
        if kind is not other_kind and not (kind in _NUMBERS and other_kind in _NUMBERS):
            return UNDECIDED
        if kind in _COMPARABLE or (booleans and kind is bool):
            return compare(one, other)
        return UNDECIDED

    return evaluate


_NUMBERS: Final = frozenset({int, float})
_COMPARABLE: Final = frozenset({int, float, str})


def _logic(left: Evaluate, right: Evaluate, *, decided: bool) -> Evaluate:
    """`and` and `or`: `decided` is the value of the left side that settles the matter."""

    def evaluate(scope: Scope) -> Json:
        value = left(scope)
        if type(value) is not bool or value is decided:
            return value if type(value) is bool else UNDECIDED
        value = right(scope)
        return value if type(value) is bool else UNDECIDED

    return evaluate


def _negation(node: Any) -> Evaluate | None:
    procedure, arguments = node.procedure, node.arguments
    if procedure.type != "variable" or procedure.value != "not" or len(arguments) != 1:
        return None
    inner = direct(arguments[0])
    if inner is None:
        return None

    def evaluate(scope: Scope) -> Json:
        value = UNDECIDED if "not" in scope.variables else inner(scope)
        return not value if type(value) is bool else UNDECIDED

    return evaluate


def _arithmetic(
    left: Evaluate, right: Evaluate, calculate: Callable[[float, float], float]
) -> Evaluate:
    """A calculation with two numbers; whole results are integers."""

    def evaluate(scope: Scope) -> Json:
        one, other = left(scope), right(scope)
        if type(one) not in _NUMBERS or type(other) not in _NUMBERS:
            return UNDECIDED
        if not (-_EXACT < one < _EXACT and -_EXACT < other < _EXACT):
            return UNDECIDED
        result = calculate(float(one), float(other))
        if not -_EXACT < result < _EXACT:
            return UNDECIDED
        return int(result) if result.is_integer() else result

    return evaluate


def _joined(left: Evaluate, right: Evaluate) -> Evaluate:
    """Two strings as one."""

    def evaluate(scope: Scope) -> Json:
        one, other = left(scope), right(scope)
        return one + other if type(one) is str and type(other) is str else UNDECIDED

    return evaluate


def _object(pairs: list[Any]) -> Evaluate | None:
    """An object with constant names; a member without a value is left out.

    What an array becomes as a member is for the library to say.
    """
    members: dict[str, Evaluate] = {}
    for key, value in pairs:
        member = direct(value)
        if key.type != "string" or key.value in members or member is None:
            return None
        members[key.value] = member
    parts = tuple(members.items())

    def evaluate(scope: Scope) -> Json:
        filled: dict[str, Json] = {}
        for name, member in parts:
            value = member(scope)
            if value is UNDECIDED or type(value) is list:
                return UNDECIDED
            if value is not ABSENT:
                filled[name] = value
        return filled

    return evaluate
