"""Times on the command line: RFC 3339, or how long ago. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from torpor.cli.workflow.data import BadData

_AGE = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def moment(text: str, now: datetime) -> float:
    """Return the Unix time that a text means; BadData says how to write it."""
    found = _AGE.fullmatch(text)
    if found is not None:
        return now.timestamp() - int(found[1]) * _SECONDS[found[2]]
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.tzinfo is None:
        raise BadData(f"{text!r} is no time: write 2026-01-31T09:00:00Z, or 2h for two hours ago")
    return parsed.timestamp()
