"""Times as the API prints them: seconds since the epoch with milliseconds."""

from __future__ import annotations


def stamp(seconds: float) -> float:
    """The time to the millisecond."""
    return round(seconds, 3)


def optional_stamp(seconds: float | None) -> float | None:
    """The time to the millisecond, None where there is none yet."""
    return None if seconds is None else stamp(seconds)
