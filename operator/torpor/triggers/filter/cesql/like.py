"""Patterns of LIKE (CESQL, section 3.4.3) as predicates that never try anything twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Matches = Callable[[str], bool]

_PIECE: Final = re.compile(r"\\([%_])|(%)|(_)|(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Segment:
    """What stands between two `%`: so many characters, of which those of `_` may be any."""

    length: int
    text: str | None
    regex: re.Pattern[str]

    def find(self, text: str, start: int, end: int) -> int:
        """Where the first occurrence in `text[start:end]` begins, -1 without one."""
        if self.text is not None:
            return text.find(self.text, start, end)
        found = self.regex.search(text, start, end)
        return -1 if found is None else found.start()

    def stands_at(self, text: str, start: int) -> bool:
        return self.regex.match(text, start) is not None


def compile_like(pattern: str) -> Matches:
    r"""Whether a text is like the pattern: `%` any characters, `_` one, `\%` and `\_` themselves.

    Between two `%` the first occurrence is as good as any other, so nothing is tried twice.
    """
    segments = _segments(pattern)
    if len(segments) == 1:
        return _whole(segments[0])
    first, *middle, last = segments
    if not middle and first.text is not None and last.text is not None:
        return _ends(first.text, last.text)
    return _scan(first, tuple(middle), last)


def _whole(only: _Segment) -> Matches:
    if only.text is not None:
        return only.text.__eq__
    return lambda text: only.regex.fullmatch(text) is not None


def _ends(prefix: str, suffix: str) -> Matches:
    length = len(prefix) + len(suffix)

    def matches(text: str) -> bool:
        return len(text) >= length and text.startswith(prefix) and text.endswith(suffix)

    return matches


def _scan(first: _Segment, middle: tuple[_Segment, ...], last: _Segment) -> Matches:
    def matches(text: str) -> bool:
        end = len(text) - last.length
        if end < first.length or not first.stands_at(text, 0) or not last.stands_at(text, end):
            return False
        position = first.length
        for segment in middle:
            position = segment.find(text, position, end)
            if position < 0:
                return False
            position += segment.length
        return True

    return matches


def _segments(pattern: str) -> list[_Segment]:
    segments: list[list[str | None]] = [[]]
    for escaped, many, one, plain in _PIECE.findall(pattern):
        if many:
            segments.append([])
        else:
            segments[-1].append(None if one else escaped or plain)
    return [_segment(pieces) for pieces in segments]


def _segment(pieces: list[str | None]) -> _Segment:
    known = [piece for piece in pieces if piece is not None]
    text = "".join(known) if len(known) == len(pieces) else None
    source = "".join("." if piece is None else re.escape(piece) for piece in pieces)
    return _Segment(len(pieces), text, re.compile(source, re.DOTALL))
