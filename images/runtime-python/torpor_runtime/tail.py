"""The end of what one request writes, for a caller of the Lambda API who asks for it.

Only what goes through `sys.stdout`, `sys.stderr` and `logging` in the request's own context is
seen: not what a program that it starts writes, nor a thread that it starts.
"""

from __future__ import annotations

import binascii
import sys
import threading
from contextvars import ContextVar
from typing import Any

MOST_BYTES = 4096
HEADER = "X-Amz-Log-Result"
_FIELDS_BYTES = 13_500
"""What all fields of an answer may have together with this one: see `answer`."""

_current: ContextVar[Tail | None] = ContextVar("tail", default=None)
_installing = threading.Lock()


class Tail:
    """The last bytes that a request wrote."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Take in what was written."""
        with self._lock:
            self._kept += text.encode(errors="replace")
            del self._kept[:-MOST_BYTES]

    def field(self, others: list[tuple[str, str]]) -> tuple[str, str]:
        """Return the header field beside the `others`, as long as there is room for it."""
        taken = sum(len(name) + len(value) + 4 for name, value in others)
        room = max(0, _FIELDS_BYTES - taken) * 3 // 4
        with self._lock:
            kept = bytes(self._kept[-room:]) if room else b""
        return HEADER, binascii.b2a_base64(kept, newline=False).decode()


def begin() -> Tail:
    """Keep what is written in the current context from now on."""
    with _installing:
        sys.stdout, sys.stderr = _teed(sys.stdout), _teed(sys.stderr)
    tail = Tail()
    _current.set(tail)
    return tail


class _Tee:
    """A stream of text that shows what it is given to the tail of the request that writes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> Any:
        """Write the text."""
        tail = _current.get()
        if tail is not None:
            tail.add(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        """Write all lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _teed(stream: Any) -> Any:
    """Return the stream with a tee before it, which the handlers of `logging` write to as well."""
    if stream is None or isinstance(stream, _Tee):
        return stream
    tee = _Tee(stream)
    logging = sys.modules.get("logging")
    for handler in logging.root.handlers if logging else ():
        if getattr(handler, "stream", None) is stream:
            handler.setStream(tee)
    return tee
