"""Which lines of a log belong to a trace or to a request. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

_TRACE = ("traceId", "trace_id")
_REQUEST = ("requestId", "request_id")


@dataclass(frozen=True, slots=True)
class Belonging:
    """The ids that a line must have to be wanted; empty: any, also a line that is no JSON."""

    trace: str = ""
    request: str = ""

    def covers(self, line: str) -> bool:
        """Whether the line is wanted."""
        if not self.trace and not self.request:
            return True
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return False
        return isinstance(found, dict) and all(
            not wanted or wanted in (found.get(name) for name in names)
            for wanted, names in ((self.trace, _TRACE), (self.request, _REQUEST))
        )


ALL = Belonging()
"""Every line."""
