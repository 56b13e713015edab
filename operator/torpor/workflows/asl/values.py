"""JSON values as AWS compares them: numbers by value, and a boolean is never a number."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from torpor.workflows.asl.scope import Json


def is_number(value: Json) -> bool:
    """Whether the value is a JSON number (in Python a bool is an int; in JSON it is not)."""
    return type(value) is int or type(value) is float


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
    """The value of a JSON text; ValueError when it is none (as `NaN`) or is nested too deep."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as deep:
        raise ValueError("nested too deep") from deep


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def nearest_integer(value: float) -> int:
    """The nearest integer, a half going up (Java's Math.round, which the intrinsics use)."""
    return value if isinstance(value, int) else math.floor(value + 0.5)
