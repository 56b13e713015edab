"""One call of ffmpeg or ffprobe to its end: what it printed, or an error with what it said."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from torpor.errors import TorporError
from torpor.transcode import process
from torpor.transcode.process import Advance

STALL_SECONDS = 600.0
"""Without a sign of life: moving the index of a large file to its front shows none."""
BIT_EXACT = ("-fflags", "+bitexact", "-map_metadata", "-1", "-map_chapters", "-1")
"""For muxing: no version, no time of writing, nothing of the source's own tags."""
_PROGRESS = ("-nostats", "-stats_period", "2", "-progress", "pipe:1")
_ADVANCING = ("frame=", "total_size=", "out_time_us=")


class CallFailed(TorporError):
    """ffmpeg or ffprobe did not do what it was asked for."""

    code = "ffmpeg-failed"


async def call(argv: Sequence[str], what: str, on_line: Callable[[str], None]) -> None:
    """Run a program that ends by itself; CallFailed says `what` failed and its last words.

    Each line of its output counts as a sign of life.
    """
    advance = Advance()
    lines = 0

    def take(line: str) -> None:
        nonlocal lines
        lines += 1
        advance.at(lines)
        on_line(line)

    ended = await process.run(argv, take, advance, STALL_SECONDS)
    if ended.code != 0:
        raise CallFailed(f"{what}: {os.path.basename(argv[0])} said: {ended.reason}")


async def ffmpeg(
    program: str,
    arguments: Sequence[str],
    what: str,
    on_line: Callable[[str], None] | None = None,
    stall_seconds: float = STALL_SECONDS,
) -> tuple[str, ...]:
    """Run ffmpeg and return its warnings of level error; CallFailed when it fails.

    `on_line` takes what it writes to stdout apart from its progress. Raises Stalled when nothing
    comes out of it for `stall_seconds`.
    """
    advance = Advance()
    marks: dict[str, str] = {}

    def take(line: str) -> None:
        name = next((name for name in _ADVANCING if line.startswith(name)), None)
        if name is not None:
            marks[name] = line
            advance.at(tuple(marks.values()))
        elif on_line is not None:
            advance.at(line)
            on_line(line)

    argv = [program, "-hide_banner", "-nostdin", "-v", "error", *_PROGRESS, "-y", *arguments]
    ended = await process.run(argv, take, advance, stall_seconds)
    if ended.code != 0:
        raise CallFailed(f"{what}: ffmpeg said: {ended.reason}")
    return ended.complaint


async def ffprobe(program: str, arguments: Sequence[str], what: str) -> list[str]:
    """Return the lines that ffprobe prints; CallFailed when it fails."""
    lines: list[str] = []
    await call([program, "-v", "error", *arguments], what, lines.append)
    return lines
