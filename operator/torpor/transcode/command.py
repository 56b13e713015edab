"""ffmpeg's arguments, built by ffmpeg-python as templates: a plan keeps them, a worker fills them.

A template is a whole command with placeholders where source, seek point, counts and target go. So
all workers of a plan run the same arguments, whichever version of Torpor they are, and their hash
names the units. Nothing is ever run through ffmpeg-python: it has no progress and no cancelling.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg

from torpor.transcode.model import Audio, Mode, Source

SOURCE = "{source}"
SEEK = "{seek}"
FRAMES = "{frames}"
CUTS = "{cuts}"
FIRST = "{first}"
LIST = "{list}"
TARGET = "{target}"
PROGRAM = "ffmpeg"

_GLOBAL = ("-hide_banner", "-nostdin", "-nostats", "-v", "error", "-progress", "pipe:1")
_BIT_EXACT: Mapping[str, Any] = {
    "fflags": "+bitexact",
    "flags": "+bitexact",
    "map_metadata": -1,
    "map_chapters": -1,
}
_SMALLEST_TIMESCALE = 10_000
_LARGEST_TIMESCALE = 10_000_000

Args = Mapping[str, Any]


def input_url(path: Path) -> str:
    """Return a local file as ffmpeg names it: no part of its name is taken for an option."""
    return f"file:{path.absolute()}"


def fill(template: tuple[str, ...], program: str, values: Mapping[str, str]) -> list[str]:
    """Return the command that `template` is with those placeholders filled."""
    return [program, *(values.get(word, word) for word in template[1:])]


def args_hash(template: tuple[str, ...], *also: str) -> str:
    """Return 16 hexadecimal digits that name the arguments, and what else decides the output."""
    return hashlib.sha256("\0".join((*template, *also)).encode()).hexdigest()[:16]


def video_template(
    source: Source,
    filters: tuple[tuple[str, Args], ...],
    encoder: Args,
    mode: Mode,
    device: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Return the command that makes one unit, or in stream mode all units from one on.

    `-xerror` ends it at the first frame that cannot be decoded: without, a truncated input counts
    as a success.
    """
    stream = _input(SOURCE, ss=SEEK)[str(source.video.stream)]
    for name, options in filters:
        stream = stream.filter(name, **options)
    timescale = _timescale(source.video.time_base)
    output = {
        **encoder,
        **_BIT_EXACT,
        "an": None,
        "sn": None,
        "dn": None,
        "fps_mode": "passthrough",
        "enc_time_base": "demux",
        "frames:v": FRAMES,
        **(_one_file(timescale) if mode is Mode.UNIT else _segments(timescale)),
    }
    return compiled(ffmpeg.output(stream, TARGET, **output).global_args(*device))


def audio_template(source: Source, audio: Audio, encoder: Args) -> tuple[str, ...]:
    """Return the command that encodes all audio, so that it begins with the first video frame.

    Silence is put where the input has gaps; audio from before the first frame is cut.
    """
    first = source.video.first_pts * source.video.time_base - source.start_seconds
    stream = _input(SOURCE)[str(audio.stream)]
    stream = stream.filter("asetpts", f"PTS-({float(first):.6f})/TB")
    stream = stream.filter("aresample", **{"async": 1, "first_pts": 0})
    output = {**encoder, **_BIT_EXACT, "vn": None, "sn": None, "dn": None, "format": "mp4"}
    return compiled(ffmpeg.output(stream, TARGET, **output))


def decode_template(source: Source) -> tuple[str, ...]:
    """Return the command that decodes a unit's frames and keeps nothing."""
    stream = _input(SOURCE, ss=SEEK)[str(source.video.stream)]
    output = {"fps_mode": "passthrough", "frames:v": FRAMES, "format": "null"}
    return compiled(ffmpeg.output(stream, "-", **output))


def remux_template(streams: tuple[int, ...], container: str) -> tuple[str, ...]:
    """Return the command that copies streams into a container with an index."""
    opened = _input(SOURCE, fflags="+genpts")
    output = {**_BIT_EXACT, "c": "copy", "format": container, "ignore_unknown": None}
    return compiled(ffmpeg.output(*(opened[str(each)] for each in streams), TARGET, **output))


def _input(url: str, **options: Any) -> Any:
    return ffmpeg.input(url, protocol_whitelist="file", **options)


def compiled(output: Any) -> tuple[str, ...]:
    """Return the command of ffmpeg-python's `output`: quiet, with progress, strict."""
    output = output.global_args(*_GLOBAL, "-xerror")
    return tuple(map(str, ffmpeg.compile(output, cmd=PROGRAM, overwrite_output=True)))


def _one_file(timescale: int) -> Args:
    return {"format": "mp4", "video_track_timescale": timescale}


def _segments(timescale: int) -> Args:
    """Cut at frame numbers, tell each closed file on a pipe, and begin each at time 0."""
    return {
        "format": "segment",
        "segment_format": "mp4",
        "segment_format_options": f"video_track_timescale={timescale}:fflags=+bitexact",
        "segment_frames": CUTS,
        "segment_start_number": FIRST,
        "segment_list": LIST,
        "segment_list_type": "csv",
        "reset_timestamps": 1,
    }


def _timescale(time_base: Fraction) -> int:
    """Ticks a second for MP4; every tick of the source is a whole number of them if possible."""
    scale = time_base.denominator
    while scale < _SMALLEST_TIMESCALE:
        scale *= 2
    return min(scale, _LARGEST_TIMESCALE)
