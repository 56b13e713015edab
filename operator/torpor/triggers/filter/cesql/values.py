"""The types of CESQL and its casts (sections 3.1 and 3.7); a failing cast is a value of its own."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from torpor.triggers.filter.cesql.failures import Failure, FailureKind

Value = bool | int | str
Event = Mapping[str, Any]

MAX_INTEGER: Final = 2**31 - 1
MIN_INTEGER: Final = -(2**31)

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Failed:
    """What an expression that met errors came to: a value nevertheless, and the errors."""

    value: Value
    failures: tuple[Failure, ...]


Outcome = bool | int | str | Failed
Evaluate = Callable[[Event], Outcome]


def failed(value: Value, kind: FailureKind, reason: str) -> Failed:
    """An outcome with one error."""
    return Failed(value, (Failure(kind, reason),))


def passed_on(zero: Value, *operands: Outcome) -> Failed:
    """What an operator comes to when an operand failed: the zero value of its type."""
    failures = [
        one for operand in operands if isinstance(operand, Failed) for one in operand.failures
    ]
    return Failed(zero, tuple(failures))


def attribute_value(value: Any) -> Value:
    """An attribute as one of the three types; what is none of them is its canonical string."""
    if type(value) is str or type(value) is bool:
        return value
    if isinstance(value, int) and MIN_INTEGER <= value <= MAX_INTEGER:
        return int(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def to_integer(value: Value) -> int | Failed:
    """`INT`: a boolean is 1 or 0, a string is read as 32 bits in base 10."""
    if type(value) is int:
        return value
    if type(value) is bool:
        return int(value)
    if _INTEGER.fullmatch(str(value)) is not None and MIN_INTEGER <= int(value) <= MAX_INTEGER:
        return int(value)
    return failed(0, FailureKind.CAST, f"{_shown(value)} is not an integer of 32 bits")


def to_boolean(value: Value) -> bool | Failed:
    """`BOOL`: an integer is true unless 0, a string is `true` or `false` in any case."""
    if type(value) is bool:
        return value
    if isinstance(value, int):
        return value != 0
    lower = value.lower()
    if lower in ("true", "false"):
        return lower == "true"
    return failed(False, FailureKind.CAST, f"{_shown(value)} is neither true nor false")


def to_string(value: Value) -> str:
    """`STRING`: a boolean is `true` or `false`, an integer its digits."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    return str(value)


Cast = Callable[[Value], Value | Failed]

CASTS: Final[Mapping[type, Cast]] = {int: to_integer, bool: to_boolean, str: to_string}
ZEROS: Final[Mapping[type, Value]] = {int: 0, bool: False, str: ""}


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:60]}…"
