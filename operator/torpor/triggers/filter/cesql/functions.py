"""The built-in functions of CESQL (section 3.5), found by name and number of arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from torpor.triggers.filter.cesql.failures import FailureKind
from torpor.triggers.filter.cesql.syntax import Call, Node, children
from torpor.triggers.filter.cesql.values import (
    MAX_INTEGER,
    MIN_INTEGER,
    Failed,
    Value,
    failed,
    to_boolean,
    to_integer,
    to_string,
)

_WHITESPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000"
)
"""Unicode's White_Space; Python's `str.strip` also takes control characters away."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function: the types of its arguments, of those that may follow, and of what it returns."""

    parameters: tuple[type, ...]
    returns: type
    run: Callable[..., Value | Failed]
    variadic: type | None = None

    def types(self, count: int) -> tuple[type, ...]:
        """The types of `count` arguments."""
        more = count - len(self.parameters)
        return self.parameters + (self.variadic,) * more if self.variadic else self.parameters


def find_function(name: str, count: int) -> Function | None:
    """The function of that name (in upper case) which takes so many arguments."""
    for function in _FUNCTIONS.get(name, ()):
        fixed = len(function.parameters)
        if count == fixed or (function.variadic is not None and count > fixed):
            return function
    return None


def missing_functions(node: Node) -> Iterator[str]:
    """The calls within an expression that no function takes, as a text for people."""
    if isinstance(node, Call) and find_function(node.name, len(node.arguments)) is None:
        yield called(node.name, len(node.arguments))
    for child in children(node):
        yield from missing_functions(child)


def called(name: str, count: int) -> str:
    """A function's name with the number of its arguments."""
    return f"{name} with {count} argument{'' if count == 1 else 's'}"


def _refused(value: Value, reason: str) -> Failed:
    return failed(value, FailureKind.FUNCTION_EVALUATION, reason)


def _left(text: str, length: int) -> str | Failed:
    return text[:length] if length >= 0 else _refused(text, f"LEFT: {length} is negative")


def _right(text: str, length: int) -> str | Failed:
    if length < 0:
        return _refused(text, f"RIGHT: {length} is negative")
    return text[max(len(text) - length, 0) :]


def _substring(text: str, position: int, length: int = MAX_INTEGER) -> str | Failed:
    if abs(position) > len(text):
        return _refused("", f"SUBSTRING: position {position} is outside the string")
    if length < 0:
        return _refused("", f"SUBSTRING: length {length} is negative")
    if position == 0:
        return ""
    start = position - 1 if position > 0 else len(text) + position
    return text[start : start + length]


def _absolute(value: int) -> int | Failed:
    if value == MIN_INTEGER:
        return failed(MAX_INTEGER, FailureKind.MATH, f"ABS: {value} has no counterpart in 32 bits")
    return abs(value)


_FUNCTIONS: Final[dict[str, tuple[Function, ...]]] = {
    "LENGTH": (Function((str,), int, len),),
    "CONCAT": (Function((), str, lambda *texts: "".join(texts), str),),
    "CONCAT_WS": (Function((str,), str, lambda by, *texts: by.join(texts), str),),
    "LOWER": (Function((str,), str, str.lower),),
    "UPPER": (Function((str,), str, str.upper),),
    "TRIM": (Function((str,), str, lambda text: text.strip(_WHITESPACE)),),
    "LEFT": (Function((str, int), str, _left),),
    "RIGHT": (Function((str, int), str, _right),),
    "SUBSTRING": (
        Function((str, int), str, _substring),
        Function((str, int, int), str, _substring),
    ),
    "ABS": (Function((int,), int, _absolute),),
    "INT": (Function((object,), int, to_integer),),
    "BOOL": (Function((object,), bool, to_boolean),),
    "STRING": (Function((object,), str, to_string),),
}
