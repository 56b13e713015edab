"""ffmpeg as it runs: the frames that it has made so far, and whether they still grow."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

from torpor.transcode.process import STALL_SECONDS, Advance, Ended, run

_GROWS = ("frame", "out_time_us", "total_size")
_MICROSECONDS = 1_000_000
_NO_SPACE = "No space left on device"


def ignore(done: float) -> None:
    """Take how far it is and do nothing."""
    del done


async def run_ffmpeg(
    argv: Sequence[str],
    on_frames: Callable[[int], None] = ignore,
    stall_seconds: float = STALL_SECONDS,
    pass_fds: Sequence[int] = (),
    on_seconds: Callable[[float], None] = ignore,
) -> Ended:
    """Run a command that reports its progress to stdout.

    `on_frames` is told each new count of frames, `on_seconds` how much of the output's time is
    done. Raises Died, Stalled when neither frames nor time nor size grow for `stall_seconds`, and
    OSError (ENOSPC) when its disk is full.
    """
    advance, marks = Advance(), dict.fromkeys(_GROWS, "")

    def take(line: str) -> None:
        name, _, value = line.partition("=")
        if name not in marks:
            return
        if name == "frame" and marks[name] != value and value.isdigit():
            on_frames(int(value))
        if name == "out_time_us" and value.isdigit():
            on_seconds(int(value) / _MICROSECONDS)
        marks[name] = value
        advance.at(tuple(marks.values()))

    ended = await run(argv, take, advance, stall_seconds, pass_fds)
    if any(_NO_SPACE in line for line in ended.complaint):
        raise OSError(errno.ENOSPC, "the disk for work in hand is full: give it more room")
    return ended
