"""How far a transcode is, on stderr: one live line in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

Snapshot = Mapping[str, Any]
"""What `torpor.checkpoint.Progress.snapshot` returns."""
LINE_SECONDS = 10.0
"""Between plain lines, unless something else is done now."""


class Display(Protocol):
    """Shows one snapshot after the other."""

    def show(self, snapshot: Snapshot) -> None:
        """Show where it is now."""
        ...


class PlainLines:
    """A line for each thing that is done, and for each ten seconds."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._message: str | None = None
        self._printed = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Print a line when it is time for one."""
        message, now = str(snapshot["message"]), self._clock()
        if message == self._message and now - self._printed < LINE_SECONDS:
            return
        self._message, self._printed = message, now
        parts = [percent(snapshot), speed(snapshot), left(snapshot), message]
        if any(parts):
            print("  ".join(part for part in parts if part), file=self._out, flush=True)


class LiveLine:
    """A bar that moves, with per cent, speed and time left; it needs a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = [TextColumn("{task.fields[percent]:>6}"), BarColumn()]
        texts = [TextColumn(f"{{task.fields[{name}]}}") for name in ("speed", "left", "message")]
        console = Console(stderr=True)
        self.bar = Progress(*columns, *texts, console=console, transient=True)
        none: dict[str, Any] = dict.fromkeys(("percent", "speed", "left", "message"), "")
        self._task = self.bar.add_task("", total=1.0, **none)

    def show(self, snapshot: Snapshot) -> None:
        """Move the bar."""
        self.bar.update(
            self._task,
            completed=snapshot["ratio"] or 0.0,
            percent=percent(snapshot),
            speed=speed(snapshot),
            left=left(snapshot),
            message=str(snapshot["message"]).replace("[", "\\["),
        )


@contextmanager
def display() -> Iterator[Display]:
    """Show progress in the way that stderr can, as long as the context lasts."""
    if not sys.stderr.isatty():
        yield PlainLines(sys.stderr)
        return
    live = LiveLine()
    with live.bar:
        yield live


def percent(snapshot: Snapshot) -> str:
    """Return how much is done: `37.2 %`, or nothing where nobody knows."""
    ratio = snapshot["ratio"]
    return "" if ratio is None else f"{100 * ratio:.1f} %"


def speed(snapshot: Snapshot) -> str:
    """Return how fast it goes on: `84.1 frames/s`."""
    rate = snapshot["speed"]
    return "" if not rate else f"{rate:.1f} {snapshot['unit']}/s"


def left(snapshot: Snapshot) -> str:
    """Return how long it will take: `1:02:03 left`."""
    seconds = snapshot["leftSeconds"]
    if not seconds:
        return ""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    clock = f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
    return f"{clock} left"
