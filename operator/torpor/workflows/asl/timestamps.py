"""Timestamps in the one form that AWS takes: ISO-8601 extended, date and time with an offset.

Comparisons need nanoseconds, which `datetime` cannot hold, so instants are whole nanoseconds since
the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

NANOSECONDS: Final = 1_000_000_000

_FORM: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def epoch_nanoseconds(text: str) -> int | None:
    """The instant as nanoseconds since the epoch, or None when the text is not a timestamp.

    An offset or `Z` must be there; seconds may be left out, a fraction has up to 9 digits (RFC 3339
    section 5.6, and Java's ISO_OFFSET_DATE_TIME, which is what AWS names in its causes).
    """
    form = _FORM.fullmatch(text)
    if form is None or (form[3] is None and form[4] is not None):
        return None
    offset = "+00:00" if form[5] in "Zz" else form[5]
    try:
        moment = datetime.fromisoformat(f"{form[1]}T{form[2]}{form[3] or ':00'}{offset}")
        whole_seconds = int((moment - _EPOCH).total_seconds())
    except (ValueError, OverflowError):
        return None
    return whole_seconds * NANOSECONDS + int((form[4] or "0").ljust(9, "0"))


def epoch_seconds(text: str) -> float | None:
    """The instant as seconds since the epoch, or None when the text is not a timestamp."""
    nanoseconds = epoch_nanoseconds(text)
    return None if nanoseconds is None else nanoseconds / NANOSECONDS


def format_timestamp(seconds: float) -> str:
    """An instant (seconds since the epoch) as the context object shows it: milliseconds and `Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
