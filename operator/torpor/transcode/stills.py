"""Makes the pictures that stand for a title: a poster, and thumbnails for the seek bar.

Both are taken from a rung, which is turned, tone-mapped and on the output's clock already. The
thumbnails come from keyframes alone, so that a film of hours takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torpor.transcode.calls import BIT_EXACT, CallFailed, ffmpeg
from torpor.transcode.command import input_url

POSTER = "poster.jpg"
SPRITE = "thumbnails.jpg"
CUES = "thumbnails.vtt"
_POSTER_AT = Fraction(1, 10)
_CHOSEN_OF = 50
_ACROSS = 10
_MOST = 100
_WIDTH = 160
_QUALITY = ("-q:v", "3", "-flags:v", "+bitexact", *BIT_EXACT, "-f", "image2", "-update", "1")


@dataclass(frozen=True, slots=True)
class Grid:
    """Thumbnails in one picture, row by row; each stands for `interval_seconds`."""

    count: int
    interval_seconds: Fraction
    width: int
    height: int

    @property
    def rows(self) -> int:
        """How many rows the picture has."""
        return math.ceil(self.count / _ACROSS)


async def write_poster(program: str, rung: Path, seconds: Fraction, target: Path) -> None:
    """Write the frame that is most like its neighbours, a tenth into the title."""
    at = seconds * _POSTER_AT if seconds >= 1 else Fraction(0)
    try:
        await _write_frame(program, rung, at, target)
    except CallFailed:
        if not at:
            raise
        # A single frame may last for seconds, and nothing follows it.
        await _write_frame(program, rung, Fraction(0), target)


async def _write_frame(program: str, rung: Path, at: Fraction, target: Path) -> None:
    start = ["-ss", f"{float(at):.6f}", "-i", input_url(rung), "-map", "0:v:0"]
    chosen = ["-vf", f"thumbnail={_CHOSEN_OF}", "-frames:v", "1", *_QUALITY, input_url(target)]
    await ffmpeg(program, [*start, *chosen], "the poster")


async def write_thumbnails(program: str, rung: Path, grid: Grid, folder: Path) -> None:
    """Write the picture of all thumbnails, and the cues that say which part stands for when."""
    rate = 1 / grid.interval_seconds
    filters = (
        f"fps={rate.numerator}/{rate.denominator}:start_time=0:round=up,"
        f"scale={grid.width}:{grid.height},tile={_ACROSS}x{grid.rows}"
    )
    read = ["-skip_frame", "nokey", "-i", input_url(rung), "-map", "0:v:0", "-vf", filters]
    target = input_url(folder / SPRITE)
    await ffmpeg(program, [*read, "-frames:v", "1", *_QUALITY, target], "the thumbnails")
    (folder / CUES).write_text(cues(grid))


def grid_of(seconds: Fraction, width: int, height: int) -> Grid:
    """Return how a title of that length and shape is shown: at most 100 thumbnails."""
    interval = Fraction(max(1, math.ceil(seconds / _MOST)))
    small = max(2, round(_WIDTH * height / width / 2) * 2)
    return Grid(max(1, math.ceil(seconds / interval)), interval, _WIDTH, small)


def cues(grid: Grid) -> str:
    """Return WebVTT whose cues are parts of the picture (Media Fragments 1.0, xywh)."""
    return "\n".join(["WEBVTT", "", *_cues(grid)])


def _cues(grid: Grid) -> Iterator[str]:
    for number in range(grid.count):
        row, column = divmod(number, _ACROSS)
        place = f"{column * grid.width},{row * grid.height},{grid.width},{grid.height}"
        begin, end = number * grid.interval_seconds, (number + 1) * grid.interval_seconds
        yield f"{_clock(begin)} --> {_clock(end)}\n{SPRITE}#xywh={place}\n"


def _clock(seconds: Fraction) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}.{milliseconds:03d}"
