"""The comparison operators of the Choice state (ASL, "Data-test expression").

An operator is a test of a value against an operand that is prepared once when it is a constant. A
value of the wrong type never matches and is never an error.
"""

from __future__ import annotations

import operator as compare
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torpor.expressions.values import is_number
from torpor.workflows.asl.scope import Json
from torpor.workflows.asl.timestamps import epoch_nanoseconds

_TOKEN: Final = re.compile(r"\\(.)|(\*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Operator:
    """`prepare` turns operand and value into what is compared, None where the type is wrong."""

    prepare: Callable[[Json], Json]
    test: Callable[[Json, Json], bool]

    def matches(self, value: Json, prepared: Json) -> bool:
        """Whether a value matches an operand that `prepare` has seen."""
        ready = self.prepare(value)
        return ready is not None and prepared is not None and self.test(ready, prepared)


def string_pattern(pattern: str) -> Callable[[str], bool]:
    r"""A test for StringMatches: `*` is any text, `\*` a star, `\\` a backslash.

    Its time is linear in the text for each star: texts come from users.
    """
    parts = _pattern_parts(pattern)
    if len(parts) == 1:
        return lambda text: text == parts[0]
    first, *middle, last = parts

    def test(text: str) -> bool:
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last):
            return False
        position = len(first)
        for part in middle:
            position = text.find(part, position, end)
            if position < 0:
                return False
            position += len(part)
        return position <= end

    return test


def _pattern_parts(pattern: str) -> list[str]:
    parts, position = [""], 0
    for found in _TOKEN.finditer(pattern):
        parts[-1] += pattern[position : found.start()]
        position = found.end()
        if found[2]:
            parts.append("")
        else:
            parts[-1] += found[1]
    parts[-1] += pattern[position:]
    return parts


def _string(value: Json) -> Json:
    return value if isinstance(value, str) else None


def _number(value: Json) -> Json:
    return value if is_number(value) else None


def _boolean(value: Json) -> Json:
    return value if isinstance(value, bool) else None


def _timestamp(value: Json) -> Json:
    return epoch_nanoseconds(value) if isinstance(value, str) else None


def _comparisons() -> dict[str, Operator]:
    orders = {
        "Equals": compare.eq,
        "LessThan": compare.lt,
        "GreaterThan": compare.gt,
        "LessThanEquals": compare.le,
        "GreaterThanEquals": compare.ge,
    }
    kinds = {"String": _string, "Numeric": _number, "Timestamp": _timestamp}
    ordered = {
        f"{kind}{order}": Operator(prepare, test)
        for kind, prepare in kinds.items()
        for order, test in orders.items()
    }
    return ordered | {"BooleanEquals": Operator(_boolean, compare.eq)}


COMPARISONS: Final = _comparisons()
"""The operators that compare two values; each has a twin that ends in `Path`."""

TYPE_TESTS: Final[dict[str, Callable[[Json], bool]]] = {
    "IsNull": lambda value: value is None,
    "IsString": lambda value: isinstance(value, str),
    "IsNumeric": is_number,
    "IsBoolean": lambda value: isinstance(value, bool),
    "IsTimestamp": lambda value: _timestamp(value) is not None,
}
"""The operators that test a value's type, against true or false."""

OPERATORS: Final = frozenset(
    [*COMPARISONS, *(f"{name}Path" for name in COMPARISONS), *TYPE_TESTS]
) | {"IsPresent", "StringMatches"}
"""The names of all 39 operators."""
