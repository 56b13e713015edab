"""JSON lines on standard error: one object a line, the context of the work in it.

Fields are given as `extra={"fields": {...}}`, or bound for a whole task by `bound()`. A line with a
`traceparent` has its `trace_id` too, which is what people look for.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

_TRACE_ID = slice(3, 35)
"""Where a traceparent has it (W3C Trace Context, 3.2.2)."""
_bound: ContextVar[Mapping[str, Any]] = ContextVar(
    "torpor_log_fields", default=MappingProxyType({})
)


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add `fields` to every line that the current task logs inside the block."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


class Seldom:
    """When to log what happens again and again: at first, and then once in `seconds`."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._said = -math.inf

    def due(self) -> bool:
        """Return whether to log it now, and count that as done."""
        now = self._clock()
        if now - self._said < self._seconds:
            return False
        self._said = now
        return True

    def forget(self) -> None:
        """Have the next time logged."""
        self._said = -math.inf


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; exceptions become the field `exception`."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a newline in it."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "logger": record.name,
            "msg": record.getMessage(),
            **_bound.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if "traceparent" in line:
            line["trace_id"] = str(line["traceparent"])[_TRACE_ID]
        return json.dumps(line, default=str)


def configure(role: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Send every log of this process to `stream` as JSON lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(role))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
