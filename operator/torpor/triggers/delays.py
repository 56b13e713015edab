"""Messages that are not to be delivered before a time: what SQS calls DelaySeconds. Pure.

The broker has no such thing for messages of a stream, so whoever takes one too early gives it back
until then (`nak` with the rest of the delay).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NOT_BEFORE: Final = "Torpor-Not-Before"
"""The header with the Unix time in seconds."""


def delayed(until: float) -> dict[str, str]:
    """Return the header of a message that is not to be delivered before this Unix time."""
    return {NOT_BEFORE: f"{until:.3f}"}


def remaining_seconds(headers: Mapping[str, str], now: float) -> float:
    """Return how long a message is still to wait: 0 when it may be delivered."""
    try:
        return max(0.0, float(headers.get(NOT_BEFORE, "0")) - now)
    except ValueError:
        return 0.0
