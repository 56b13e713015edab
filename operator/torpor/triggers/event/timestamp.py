"""Timestamps of RFC 3339, exactly: Python's own reader takes much more."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

_SHAPE: Final = re.compile(
    r"([0-9]{4})-[0-9]{2}-[0-9]{2}[Tt]"
    r"[0-9]{2}:[0-9]{2}:([0-9]{2})(?:\.[0-9]+)?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_LEAP_YEAR: Final = "2000"
"""Has the calendar of the year 0, which Python's does not know."""


def is_timestamp(text: str) -> bool:
    """Whether the text is a date-time of RFC 3339, section 5.6, on a day that there is."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        return False
    known = (_LEAP_YEAR if shape[1] == "0000" else shape[1]) + text[4:].upper()
    if shape[2] == "60":
        return _is_leap_second(known)
    return _read(known) is not None


def _is_leap_second(text: str) -> bool:
    """Whether :60 follows 23:59:59 of UTC, which is where leap seconds are put in."""
    before = _read(f"{text[:17]}59{text[19:]}")
    if before is None:
        return False
    try:
        universal = before.astimezone(UTC)
    except OverflowError:
        return False
    return (universal.hour, universal.minute) == (23, 59)


def _read(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
