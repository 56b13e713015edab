"""Compares what a document shows with what was printed: the words count, the measurements do not.

Each line shown must be found, in order. Numbers stand for any number, `…` for anything, spaces for
any spaces, and case does not count, as in the names of headers. Exact are the status line of an
answer and a 0 that stands alone, as in `wrong 0`.
"""

from __future__ import annotations

import re

_PART = re.compile(r"(…|\d[\d.]*)")
_AGE = re.compile(r"(?:\d+[smhd])+")
_EXACT = re.compile(r"^(HTTP/\S+ \d+|\d{3} )")


def missing(shown: str, printed: str) -> str | None:
    """Return the first line shown that was not printed after those before it; None if all were."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        pattern = _pattern(line)
        if pattern and not any(re.search(pattern, candidate, re.IGNORECASE) for candidate in lines):
            return line
    return None


def _pattern(line: str) -> str:
    words = line.split()
    if not words or words == ["…"]:
        return ""
    if _EXACT.match(line):
        return re.escape(line.strip())
    return r"\s+".join(_word(word) for word in words)


def _word(word: str) -> str:
    if word == "0":
        return r"(?<!\S)0(?!\S)"
    if _AGE.fullmatch(word):
        return _AGE.pattern
    return "".join(_part(part) for part in _PART.split(word))


def _part(part: str) -> str:
    if part == "…":
        return ".*"
    return r"\d[\d.]*" if part[:1].isdigit() else re.escape(part)
