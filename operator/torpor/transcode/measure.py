"""What an assembled file really holds, packet by packet, as ffprobe reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from torpor.transcode.calls import CallFailed, ffprobe
from torpor.transcode.command import input_url

AAC_SAMPLES = 1024
"""In a frame (ISO/IEC 14496-3)."""
_FACTS = "stream=codec_type,codec_name,width,height,time_base,start_time,duration,sample_rate"
_PACKET = "packet=pts,duration,flags"


@dataclass(frozen=True, slots=True)
class Heard:
    """When the audio begins and ends, in seconds; `frame_seconds` is the length of an AAC frame."""

    begin_seconds: Fraction
    end_seconds: Fraction
    frame_seconds: Fraction


@dataclass(frozen=True, slots=True)
class Measured:
    """A rung: its frames' pts in ticks, rising, where the last ends, and which are keyframes."""

    width: int
    height: int
    time_base: Fraction
    pts: tuple[int, ...]
    end_pts: int
    keyframes: tuple[int, ...]
    audio: Heard | None


async def measure(program: str, path: Path) -> Measured:
    """Return what a file with one video and at most one audio stream holds; CallFailed."""
    source = input_url(path)
    said = await ffprobe(program, ["-show_entries", _FACTS, "-of", "json", source], path.name)
    streams = json.loads("\n".join(said))["streams"]
    video = next((each for each in streams if each["codec_type"] == "video"), None)
    if video is None:
        raise CallFailed(f"{path.name} has no video stream")
    packets = ["-select_streams", "v:0", "-show_entries", _PACKET, "-of", "csv=p=0", source]
    rows = sorted(_rows(await ffprobe(program, packets, path.name)))
    return Measured(
        int(video["width"]),
        int(video["height"]),
        Fraction(video["time_base"]),
        tuple(pts for pts, _, _ in rows),
        max((pts + duration for pts, duration, _ in rows), default=0),
        tuple(number for number, (_, _, flags) in enumerate(rows) if "K" in flags),
        _heard([each for each in streams if each["codec_type"] == "audio"]),
    )


async def audio_end_seconds(program: str, path: Path, stream: int) -> Fraction | None:
    """Return when a stream's last packet ends, on the file's own clock; None if it has none."""
    chosen = ["-select_streams", str(stream), "-show_entries", "packet=pts_time,duration_time"]
    lines = await ffprobe(program, [*chosen, "-of", "csv=p=0", input_url(path)], path.name)
    ends = [_end(line.split(",")) for line in lines]
    return max((end for end in ends if end is not None), default=None)


def _rows(lines: Iterable[str]) -> Iterable[tuple[int, int, str]]:
    for line in lines:
        pts, duration, flags = line.split(",")[:3]
        yield int(pts), int(duration) if duration.isdigit() else 0, flags


def _end(row: list[str]) -> Fraction | None:
    try:
        return Fraction(row[0]) + (Fraction(row[1]) if len(row) > 1 and row[1] != "N/A" else 0)
    except ValueError:
        return None


def _heard(streams: list[Mapping[str, Any]]) -> Heard | None:
    if not streams:
        return None
    begin, length = (Fraction(streams[0].get(name, 0)) for name in ("start_time", "duration"))
    return Heard(begin, begin + length, Fraction(AAC_SAMPLES, int(streams[0]["sample_rate"])))
