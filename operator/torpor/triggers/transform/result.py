"""What a transform may make: JSON, and not too much of it.

An expression can name one value many times (`[@, @]`), so a value may be far larger in bytes than
in memory. It is measured piece by piece, and given up as soon as it is too large.
"""

from __future__ import annotations

import math
from typing import Any, Final

from torpor.errors import TorporError

MAX_RESULT_BYTES: Final = 6 * 1024 * 1024
"""How large a target's input may be: what AWS Lambda takes."""

_MAX_INTEGER: Final = 2**64
_MIN_INTEGER: Final = -(2**63) - 1


class TransformFailed(TorporError):
    """An event cannot be transformed, now or later; `path` is the place in the Trigger."""

    code = "transform-failed"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class Unfit(ValueError):
    """A value that is no JSON, or too large; the message says which."""


class TooLarge(Unfit):
    """A value of more bytes than it may have."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the result is larger than {limit_bytes} bytes")


def measure(value: Any, limit_bytes: int) -> int:
    """About how many bytes of JSON a value is; raises TooLarge, and Unfit if it is no JSON."""
    size_bytes = 0
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left += item.keys()
            left += item.values()
            size_bytes += 2 + 2 * len(item)
        elif isinstance(item, list):
            left += item
            size_bytes += 2 + len(item)
        else:
            size_bytes += _scalar(item)
        if size_bytes > limit_bytes:
            raise TooLarge(limit_bytes)
    return size_bytes


def _scalar(value: Any) -> int:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return 4
    if isinstance(value, int) and _MIN_INTEGER < value < _MAX_INTEGER:
        return len(str(value))
    if isinstance(value, float) and math.isfinite(value):
        return 8
    raise Unfit(f"the result holds {type(value).__name__} {str(value)[:40]}, which is not JSON")


def _text(text: str) -> int:
    if text.isascii():
        return len(text) + 2
    try:
        return len(text.encode()) + 2
    except UnicodeEncodeError:
        raise Unfit("the result holds half a character, which is not JSON") from None
