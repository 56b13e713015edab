"""Joins a variant's units and the audio into one MP4, without touching a frame.

The list says how long each unit is: without that, ffmpeg takes the length that a unit's file has,
and a video of varying frame rate drifts by 100 ms in 40 s. The same units give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torpor.transcode.calls import BIT_EXACT, CallFailed, ffmpeg
from torpor.transcode.command import input_url

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A unit's file, and how long it is: up to the next unit's first frame."""

    path: Path
    duration_seconds: Fraction


async def assemble(
    program: str, units: Sequence[UnitFile], audio: Path | None, target: Path
) -> None:
    """Write the MP4 of `units` in order, with the audio; CallFailed says why it cannot be.

    `target` appears when it is whole. Beside it, a list of the units is written for a moment.
    """
    listing = target.with_name(f"{target.name}.ffconcat")
    partial = target.with_name(f"{target.name}.partial")
    try:
        listing.write_text(concat_list(units))
        said = await ffmpeg(program, arguments(listing, audio, partial), f"joining {target.name}")
        if said:  # a unit that cannot be opened ends the output, and ffmpeg calls that success
            raise CallFailed(f"joining {target.name}: ffmpeg said: {said[0]}")
        partial.replace(target)
    finally:
        listing.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def arguments(listing: Path, audio: Path | None, target: Path) -> list[str]:
    """Return ffmpeg's arguments."""
    inputs = ["-f", "concat", "-safe", "0", "-i", input_url(listing)]
    if audio is not None:
        inputs += ["-i", input_url(audio), "-map", "0:v:0", "-map", "1:a:0"]
    output = ["-c", "copy", *BIT_EXACT, "-movflags", "+faststart", "-f", "mp4", input_url(target)]
    return [*inputs, *output]


def concat_list(units: Sequence[UnitFile]) -> str:
    """Return the units as ffmpeg's concat demuxer reads them.

    Its times are microseconds. They are those of the sums, so that what is lost by rounding does
    not add up over the units.
    """
    return "\n".join(["ffconcat version 1.0", *_entries(units), ""])


def _entries(units: Sequence[UnitFile]) -> Iterator[str]:
    end, written = Fraction(0), 0
    for unit in units:
        end += unit.duration_seconds
        length = round(end * _MICROSECONDS) - written
        written += length
        yield f"file {_quoted(unit.path.resolve())}"
        yield f"duration {length // _MICROSECONDS}.{length % _MICROSECONDS:06d}"


def _quoted(path: Path) -> str:
    """Quote as ffmpeg's `av_get_token` reads: what is between quotes is literal."""
    return "'" + str(path).replace("'", "'\\''") + "'"
