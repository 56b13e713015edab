"""What a local process that ended has left behind: its last words, and an excerpt for its owner.

The runtime leaves the reason of its end in a file of its own; of any other program the last line of
its log has to do.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from torpor.platform.ending import Ending

_EXCERPT_LINES = 20
_READ_BYTES = 8192
_LINE_LENGTH = 300
_MOST_BYTES = 32 * 2**20
_KEPT_BYTES = 2**20


def opened(file: Path) -> BinaryIO:
    """Open what a program left for reading; OSError unless it is a regular file.

    A program can put anything in the place of its files. Opening a FIFO would wait for its writer,
    and a symbolic link would show what the program was not asked for.
    """
    handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    return os.fdopen(handle, "rb")


@dataclass(frozen=True, slots=True)
class Output:
    """The files of one process: its output, and the reason of its end where it gave one."""

    log: Path
    last_words: Path

    def keep_small(self) -> None:
        """Drop the older lines of a log beyond 32 MiB; its writer appends, so that it goes on."""
        if not self.log.exists() or self.log.stat().st_size <= _MOST_BYTES:
            return
        kept = _last_bytes(self.log, _KEPT_BYTES).partition(b"\n")[2]
        os.truncate(self.log, 0)
        with self.log.open("ab") as log:
            log.write(b"(older lines were dropped)\n" + kept)

    def ending(self, code: int | None) -> Ending:
        """Return how the process ended, and the last thing that it said."""
        source = self.last_words if self.last_words.exists() else self.log
        said = [line.strip() for line in _tail(source) if line.strip()]
        return Ending(_how(code), _clipped(said[-1]) if said else "")

    def excerpt(self) -> str:
        """Return the end of the log as people read it, tracebacks included, and where it is."""
        lines = [_clipped(part) for line in _tail(self.log) for part in _readable(line)]
        shown = [f"  {line}" for line in lines[-_EXCERPT_LINES:]]
        return "\n".join([*shown, f"  (all of it is in {self.log})"])


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"ended by signal {-code}"


def _tail(file: Path) -> list[str]:
    try:
        return _last_bytes(file, _READ_BYTES).decode(errors="replace").splitlines()
    except OSError:  # there is none, or none that can be read
        return []


def _last_bytes(file: Path, count: int) -> bytes:
    with opened(file) as source:
        source.seek(max(0, source.seek(0, os.SEEK_END) - count))
        return source.read(count)


def _readable(line: str) -> list[str]:
    """Return a line of the log, or the traceback in it as lines of its own."""
    try:
        found = json.loads(line)
    except ValueError:
        return [line]
    exception = found.get("exception") if isinstance(found, dict) else None
    return exception.splitlines() if isinstance(exception, str) else [line]


def _clipped(line: str) -> str:
    return line if len(line) <= _LINE_LENGTH else f"{line[:_LINE_LENGTH]}…"
