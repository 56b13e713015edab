"""What AWS adds to JSONata, and what it takes away; and the way back from the library's values.

`$partition $range $hash $random $uuid $parse` are AWS's. `$now $millis $shuffle` are the library's,
but with the scope's time and randomness, so that evaluation stays pure. `$eval` is refused.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
from typing import Any, Final

from jsonata import Jsonata
from jsonata.functions import Functions
from jsonata.utils import Utils

from torpor.expressions.jsonata_bounds import MAX_VALUE_BYTES, OverBound
from torpor.expressions.jsonata_texts import check_searched
from torpor.expressions.values import Entropy, Json, is_number, parse_json

MAX_RANGE_ITEMS: Final = 360_145
"""The longest `$range` that AWS builds."""


HASHES: Final = {
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "SHA-384": "sha384",
    "SHA-512": "sha512",
}


class RefusedCall(ValueError):
    """A call that a function refuses; the message begins with JSONata's code for it."""


class _Current(threading.local):
    """The entropy of the evaluation that runs on this thread."""

    entropy: Entropy | None = None


current: Final = _Current()


def hash_text(text: str, algorithm: str) -> str:
    """The hex digest of a text; ValueError for an algorithm that AWS does not know."""
    name = HASHES.get(algorithm)
    if name is None:
        raise ValueError(f"unsupported hash algorithm {algorithm}")
    return hashlib.new(name, text.encode(errors="replace"), usedforsecurity=False).hexdigest()


def bind_functions(instance: Any) -> None:
    """Give a compiled expression AWS's functions."""
    for name, function in _FUNCTIONS.items():
        instance.register_lambda(name, function)


def plain(value: Any) -> Json:
    """A library value as JSON: its null and its sequences become ours, functions vanish.

    Infinities become the names that JavaScript gives them, as on AWS.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        return _finite(value)
    if isinstance(value, Utils.RangeList):
        return list(range(value.a, value.b + 1))
    if isinstance(value, list):
        return [plain(item) for item in value if not _is_function(item)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not _is_function(item)}
    return None if value is Utils.NULL_VALUE else ""


def _is_function(value: Any) -> bool:
    return bool(Functions.is_lambda(value)) or isinstance(value, Jsonata.JFunctionCallable)


def _finite(value: float) -> Json:
    if math.isfinite(value):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _entropy() -> Entropy:
    if current.entropy is None:
        raise RefusedCall("D3999: no evaluation is running")
    return current.entropy


def _argument(function: str, index: int, value: Any) -> RefusedCall:
    return RefusedCall(
        f'T0410: Argument {index} of function "{function}" does not match function signature'
    )


def _number(function: str, index: int, value: Any) -> int:
    if not is_number(value):
        raise _argument(function, index, value)
    whole: int = math.trunc(value)
    return whole


def _partition(array: Any = None, size: Any = None, *_: Any) -> Any:
    if array is None or size is None:
        return None
    items = list(array) if isinstance(array, list) else [array]
    length = _number("partition", 2, size)
    if length < 1 or not items:
        return None
    return [items[start : start + length] for start in range(0, len(items), length)]


def _range(first: Any = None, last: Any = None, step: Any = None, *_: Any) -> Any:
    if first is None or last is None or step is None:
        return None
    start, end, stride = (
        _number("range", index, value) for index, value in enumerate((first, last, step), 1)
    )
    if stride == 0:
        return None
    numbers = range(start, end + (1 if stride > 0 else -1), stride)
    if len(numbers) > MAX_RANGE_ITEMS:
        raise OverBound("Expression evaluation memory limit exceeded")
    return numbers[0] if len(numbers) == 1 else list(numbers) or None


def _hash(data: Any = None, algorithm: Any = None, *_: Any) -> Any:
    if data is None or algorithm is None:
        return None
    for index, value in enumerate((data, algorithm), 1):
        if not isinstance(value, str):
            raise _argument("hash", index, value)
    try:
        return hash_text(data, algorithm)
    except ValueError as unknown:
        raise RefusedCall(f"D3137: {unknown}") from unknown


def _random(seed: Any = None, *_: Any) -> float:
    if seed is None:
        return _entropy().random()
    return random.Random(_number("random", 1, seed)).random()  # noqa: S311 - reproducible


def _parse(text: Any = None, *_: Any) -> Any:
    if text is None:
        return None
    if not isinstance(text, str):
        raise _argument("parse", 1, text)
    check_searched(text)
    try:
        value = parse_json(text)
    except ValueError as invalid:
        raise RefusedCall(f"D3137: the text is not JSON: {invalid}") from invalid
    return Utils.NULL_VALUE if value is None else value


def _millis(*_: Any) -> int:
    return int(_entropy().now() * 1000)


def _now(picture: Any = None, timezone: Any = None, *_: Any) -> Any:
    return Functions.datetime_from_millis(_millis(), picture, timezone)


def _shuffle(array: Any = None, *_: Any) -> Any:
    if array is None:
        return None
    items = list(array) if isinstance(array, list) else [array]
    for last in range(len(items) - 1, 0, -1):
        chosen = int(_entropy().random() * (last + 1))
        items[last], items[chosen] = items[chosen], items[last]
    return items


def _eval(*_: Any) -> Any:
    """Refused on AWS, which offers `$parse` instead."""
    raise RefusedCall("T1006: Attempted to invoke a non-function")


def _pad(text: Any = None, width: Any = None, filling: Any = None, *_: Any) -> Any:
    """The library's `$pad`, refused before it builds a text that is too large."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise _argument("pad", 1, text)
    if abs(_number("pad", 2, width)) > MAX_VALUE_BYTES:
        raise OverBound("Expression evaluation memory limit exceeded")
    return Functions.pad(text, int(width), filling)


_FUNCTIONS: Final = {
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "uuid": lambda *_: _entropy().uuid(),
    "parse": _parse,
    "millis": _millis,
    "now": _now,
    "shuffle": _shuffle,
    "pad": _pad,
    "eval": _eval,
}
