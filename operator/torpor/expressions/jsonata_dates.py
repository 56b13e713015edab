"""The pictures of `$toMillis`, which the library makes into regular expressions of its own.

A picture comes from a definition, so what is made of it must be matched in linear time too. The
library offers no way in, so its module gets another `re`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from jsonata import datetimeutils

from torpor.expressions.regex import compile_regex


class _Linear:
    """The module `re`, but for patterns in any case: only those of pictures are compiled so."""

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)

    def compile(self, pattern: str, flags: int = 0) -> Any:
        """A pattern of a picture runs in RE2, a constant one of the library in `re`."""
        return compile_regex(pattern, "i") if flags & re.IGNORECASE else re.compile(pattern, flags)


_LINEAR: Final = _Linear()


def bound_pictures() -> None:
    """Have the pictures of every expression of this process matched in linear time."""
    datetimeutils.re = _LINEAR
