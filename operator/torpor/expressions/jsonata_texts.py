"""The functions of the library that build texts, bounded before they build them.

A short expression can ask for a text of terabytes (`$join` of one large text many times), which no
bound on what was built can refuse in time. The library offers no way in, so its functions are
wrapped. `$replace` of a text by a text is our own: the library's takes time quadratic in the text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from jsonata import Jsonata
from jsonata.functions import Functions

from torpor.expressions.jsonata_bounds import (
    MAX_VALUE_BYTES,
    OverBound,
    check_characters,
    text_bound,
)

MAX_SEARCHED_CHARACTERS: Final = 1_048_576
"""How long a text may be that `$split`, `$replace` and `$parse` take apart at one go."""

_string: Final[Callable[..., Any]] = Functions.string
_join: Final[Callable[..., Any]] = Functions.join
_replace: Final[Callable[..., Any]] = Functions.replace
_split: Final[Callable[..., Any]] = Functions.split


def bound_texts() -> None:
    """Have the texts that every expression of this process builds bounded."""
    Functions.string = staticmethod(_bounded_string)
    wrapped = {
        "string": _bounded_string,
        "join": _bounded_join,
        "replace": _bounded_replace,
        "split": _bounded_split,
    }
    for name, function in wrapped.items():
        Jsonata.static_frame.lookup(name).method = function


def check_searched(text: str) -> None:
    """Refuse a text that is too long to be taken apart."""
    if len(text) > MAX_SEARCHED_CHARACTERS:
        raise OverBound(
            f"Expression evaluation memory limit exceeded: a text of {len(text)} characters is "
            f"taken apart, and {MAX_SEARCHED_CHARACTERS} are the most"
        )


def _bounded_string(arg: Any, prettify: Any = None) -> Any:
    if isinstance(arg, list | dict):
        text_bound(arg)
    return _string(arg, prettify)


def _bounded_join(texts: Any, separator: Any) -> Any:
    if isinstance(texts, list) and separator is not None:
        check_characters(len(separator) * len(texts))
    if isinstance(texts, list):
        check_characters(sum(len(text) for text in texts if isinstance(text, str)))
    return _join(texts, separator)


def _bounded_split(text: Any, separator: Any, limit: Any) -> Any:
    if isinstance(text, str):
        check_searched(text)
    return _split(text, separator, limit)


def _bounded_replace(text: Any, pattern: Any, replacement: Any, limit: Any) -> Any:
    """`$replace`; every match of a literal pattern is the same and is replaced by the same."""
    if not isinstance(text, str):
        return _replace(text, pattern, replacement, limit)
    check_searched(text)
    if not isinstance(pattern, str) or not pattern or (limit is not None and limit < 0):
        return _replace(text, pattern, replacement, limit)
    found = text.count(pattern)
    most = found if limit is None else min(found, math.ceil(limit))
    if not most:
        return text
    instead = _replace(pattern, pattern, replacement, None)
    if len(text) + most * len(instead) > MAX_VALUE_BYTES:
        check_characters(len(text) + most * (len(instead) - len(pattern)))
    return text.replace(pattern, instead, most)
