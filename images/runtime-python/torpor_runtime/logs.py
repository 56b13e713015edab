"""JSON lines on standard error; inside a request each carries its id and its trace's id."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

request_fields: ContextVar[dict[str, str] | None] = ContextVar("request_fields", default=None)
"""What every line logged inside the current request carries."""


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            extra["exception"] = self.formatException(record.exc_info)
        return _line(record.levelname.lower(), record.getMessage(), extra)


def configure() -> None:
    """Send the `logging` of this process, the handler's included, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    level = os.environ.get("TORPOR_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(level=level, handlers=[handler], force=True)


def write_line(level: str, message: str, **fields: Any) -> None:
    """Write one line at once, also before `configure`."""
    print(_line(level, message, fields), file=sys.stderr, flush=True)


def _line(level: str, message: str, fields: dict[str, Any]) -> str:
    line = {
        "ts": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "level": level,
        "msg": message,
        "function": os.environ.get("TORPOR_FUNCTION", ""),
        **(request_fields.get() or {}),
        **fields,
    }
    return json.dumps(line, default=str)
