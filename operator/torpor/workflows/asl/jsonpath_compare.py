"""The operators of a JSONPath's filters, with the semantics of Jayway's library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from torpor.expressions import values
from torpor.workflows.asl.scope import Json


def _equal(left: Json, right: Json) -> bool:
    if isinstance(left, str) and values.is_number(right):
        return _same_number(left, right)
    if isinstance(right, str) and values.is_number(left):
        return _same_number(right, left)
    return values.equal(left, right)


def _same_number(text: str, number: float) -> bool:
    try:
        return float(text) == number
    except ValueError:
        return False


def _ordered(compare: Callable[[Json, Json], bool]) -> Callable[[Json, Json], bool]:
    def test(left: Json, right: Json) -> bool:
        alike = (values.is_number(left) and values.is_number(right)) or (
            isinstance(left, str) and isinstance(right, str)
        )
        return alike and compare(left, right)

    return test


def _within(left: Json, right: Json) -> bool:
    return isinstance(right, list) and any(_equal(left, item) for item in right)


def _contains(left: Json, right: Json) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    return _within(right, left)


def _size(left: Json, right: Json) -> bool:
    return isinstance(left, str | list | dict) and values.equal(len(left), right)


def _empty(left: Json, right: Json) -> bool:
    return isinstance(left, str | list | dict) and (not left) is right


def _share(left: Json, right: Json) -> bool:
    return isinstance(left, list) and any(_within(item, right) for item in left)


COMPARE: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "==": _equal,
    "===": values.equal,
    "!=": lambda left, right: not _equal(left, right),
    "!==": lambda left, right: not values.equal(left, right),
    "<": _ordered(lambda left, right: left < right),
    "<=": _ordered(lambda left, right: left <= right),
    ">": _ordered(lambda left, right: left > right),
    ">=": _ordered(lambda left, right: left >= right),
    "=~": lambda left, right: False,
    "in": _within,
    "nin": lambda left, right: not _within(left, right),
    "subsetof": lambda left, right: (
        isinstance(left, list) and all(_within(item, right) for item in left)
    ),
    "anyof": _share,
    "noneof": lambda left, right: isinstance(left, list) and not _share(left, right),
    "size": _size,
    "empty": _empty,
    "contains": _contains,
}
"""By the operator, in small letters: whether it holds between its two sides."""
