r"""Regular expressions of definitions: a match takes time linear in the text, whatever they say.

They run in RE2, which never goes back: `/^(a+)+$/` cannot hang an engine. How much text one
evaluation has matched is bounded, by a count and not by a clock. What cannot be matched
that way (lookahead, lookbehind, backreferences) is refused when an expression is compiled, which
is when a definition is created. As in JavaScript, `\d`, `\w`, `\s` and `\b` know ASCII only.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import re2  # type: ignore[import-untyped]

from torpor.expressions.work import charge

FLAGS: Final = "ims"
"""The flags that a pattern may have: any case, `^` and `$` at each line, `.` for a line's end."""

MAX_CHARACTERS: Final = 2_000_000_000
"""How much text one evaluation may have matched: a few seconds of work."""

_CHARACTERS_PER_UNIT: Final = 1_024
_CACHED: Final = 1_024
_REPEATS: Final = re.compile(r"[*+]|\{\d*,\}")
_CODE_POINT: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_GROUP: Final = re.compile(r"\\g<(\d+)>")


class OverWork(ValueError):
    """An evaluation matched more text than it may."""


class _Work(threading.local):
    """The characters that the evaluation of this thread had matched."""

    characters = 0
    most = MAX_CHARACTERS


_work: Final = _Work()


def begin_work(most_characters: int = MAX_CHARACTERS) -> None:
    """Begin an evaluation: what was matched before does not count in it."""
    _work.characters, _work.most = 0, most_characters


class Regex:
    """A compiled pattern with the methods that the JSONata library calls."""

    __slots__ = ("_compiled", "_far", "pattern")

    def __init__(self, pattern: str, compiled: Any) -> None:
        self.pattern = pattern
        self._compiled = compiled
        self._far = _REPEATS.search(pattern) is not None

    def search(self, text: str) -> Any:
        """The first match, None without one."""
        return next(self.finditer(text), None)

    def finditer(self, text: str) -> Iterator[Any]:
        """All matches from left to right; raises OverWork.

        A match may look at all the text behind it where the pattern repeats something.
        """
        _charge(len(text))
        for match in self._compiled.finditer(_encodable(text)):
            if self._far:
                _charge(len(text) - match.start())
            yield match

    def split(self, text: str) -> list[str]:
        """What stands between the matches, and the groups of each."""
        parts: list[str] = []
        end = 0
        for match in self.finditer(text):
            parts += (text[end : match.start()], *match.groups())
            end = match.end()
        return [*parts, text[end:]]

    def sub(self, replacement: str | Callable[[Any], str], text: str, count: int = 0) -> str:
        r"""The text with its matches replaced, at most `count` of them unless that is 0.

        `\g<12>` in the replacement is a group: the twelfth, or else the first and a 2. Everything
        else stands for itself.
        """
        replace = replacement if callable(replacement) else self._filled(replacement)
        parts: list[str] = []
        end = 0
        for match in islice(self.finditer(text), count or None):
            parts += (text[end : match.start()], replace(match))
            end = match.end()
        return "".join((*parts, text[end:]))

    def matches(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._compiled.fullmatch(_encodable(text)) is not None

    def _filled(self, template: str) -> Callable[[Any], str]:
        literals = _GROUP.split(template)
        numbers = [_group(digits, self._compiled.groups) for digits in literals[1::2]]

        def fill(match: Any) -> str:
            parts = [literals[0]]
            for (number, rest), literal in zip(numbers, literals[2::2], strict=True):
                parts += ("" if number is None else match.group(number) or "", rest, literal)
            return "".join(parts)

        return fill


@lru_cache(_CACHED)
def compile_regex(pattern: str, flags: str = "") -> Regex:
    """The compiled pattern; ValueError with a reason when it is none that can be matched."""
    unknown = set(flags) - set(FLAGS)
    if unknown:
        raise ValueError(f"the flags {''.join(sorted(unknown))!r} are not supported")
    options = re2.Options()
    options.log_errors = False
    prefix = f"(?{''.join(sorted(set(flags)))})" if flags else ""
    try:
        compiled = re2.compile(prefix + _translated(pattern), options)
    except re2.error as refused:
        raise ValueError(
            f"the regular expression /{pattern}/ is refused: {_why(refused)}"
        ) from None
    except UnicodeEncodeError as broken:
        raise ValueError(f"the regular expression holds half a character: {broken}") from broken
    return Regex(pattern, compiled)


def _charge(characters: int) -> None:
    _work.characters += characters
    charge(characters // _CHARACTERS_PER_UNIT)
    if _work.characters > _work.most:
        raise OverWork("Expression evaluation timeout: its regular expressions match too much text")


def _why(refused: Exception) -> str:
    told = refused.args[0] if refused.args else ""
    return told.decode(errors="replace") if isinstance(told, bytes) else str(told)


def _translated(pattern: str) -> str:
    r"""JavaScript's `\u00e9` as RE2 writes it."""
    return _CODE_POINT.sub(lambda one: rf"\x{{{one[1]}}}" if one[1] else one[0], pattern)


def _encodable(text: str) -> str:
    """The text with U+FFFD for each surrogate that stands alone: there is no UTF-8 for one."""
    return text if text.isascii() else _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def _group(digits: str, groups: int) -> tuple[int | None, str]:
    """The longest number that is a group, and the digits after it; JSONata's rule."""
    for length in range(len(digits), 0, -1):
        if int(digits[:length]) <= groups:
            return int(digits[:length]), digits[length:]
    return None, digits[1:]
