"""JSON values as AWS compares and prints them, and the outside world that expressions may ask.

Numbers compare by value, and a boolean is never a number. Expressions are pure: the time and
randomness that they may ask for (`States.UUID`, `$now()`) come in through `Entropy`, so the same
inputs always give the same outputs.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, Final, NoReturn, Protocol

import orjson

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict. Expressions change none in place."""


class Absent:
    """The type of `ABSENT`: no value at all, as opposed to JSON null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


class Entropy(Protocol):
    """The time and randomness of one step of an execution, or of one event."""

    def now(self) -> float:
        """The time of this step, in seconds since the epoch."""

    def uuid(self) -> str:
        """A random version 4 UUID in its canonical text form."""

    def random(self) -> float:
        """A random number, at least 0 and below 1."""


_LARGE: Final = re.compile(r"(?<!\d)\d{200}|[eE]\+?\d{3}")
"""What the text of a number that no double holds has in it."""
_SAFE_DIGITS: Final = 200
"""Every integer of so many digits is within the range of a double."""
_SHOWN_DIGITS: Final = 20


def is_number(value: Json) -> bool:
    """Whether the value is a JSON number (in Python a bool is an int; in JSON it is not)."""
    return type(value) is int or type(value) is float


def is_whole(value: float) -> bool:
    """Whether a number has no fraction; infinities and integers beyond a double's range do not."""
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    return value.is_integer()


def equal(left: Json, right: Json) -> bool:
    """Whether two JSON values are the same, at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    return bool(left == right)


def identity(value: Json) -> str:
    """A text that two values share exactly when they are equal: to find duplicates quickly."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"))


def _whole(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value


def parse_json(text: str) -> Json:
    """The value of a JSON text.

    ValueError when it is none (as `NaN`), is nested too deep, or has a number that no double holds.
    """
    try:
        if _LARGE.search(text) is None:
            return json.loads(text, parse_constant=_refuse)
        return json.loads(
            text, parse_constant=_refuse, parse_float=read_fraction, parse_int=read_integer
        )
    except RecursionError as deep:
        raise ValueError("nested too deep") from deep


def json_text(value: Json) -> str:
    """The value as compact JSON text, as AWS prints it."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # integers beyond 64 bits
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def read_fraction(digits: str) -> float:
    """The number of a text with a fraction or an exponent; ValueError if no double holds it."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{_shortened(digits)} is too large a number")
    return value


def read_integer(digits: str) -> int:
    """The integer of a JSON text; ValueError if it is beyond the range of a double."""
    if len(digits) > _SAFE_DIGITS:
        _ = read_fraction(digits)
    return int(digits)


def _shortened(digits: str) -> str:
    """A number as a message shows it: the first of its digits."""
    return digits if len(digits) <= _SHOWN_DIGITS else f"{digits[:_SHOWN_DIGITS]}…"


def nearest_integer(value: float) -> int:
    """The nearest integer, a half going up (Java's Math.round, which the intrinsics use)."""
    return value if isinstance(value, int) else math.floor(value + 0.5)
