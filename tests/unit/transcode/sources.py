"""Sources and abilities for tests that decide, without a file."""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction
from typing import Any

from torpor.transcode.encoders import Abilities, Encoder, Speed
from torpor.transcode.model import Audio, Codec, Color, Mode, Source, Video
from torpor.transcode.planning import Settings
from torpor.transcode.timeline import Timeline

SDR = Color("bt709", "bt709", "bt709", "tv")
PQ = Color("bt2020", "smpte2084", "bt2020nc", "tv")
TICKS = 512
CPU = Abilities(
    encoders=(
        Encoder("libx264", Codec.H264, takes_ten_bits=True),
        Encoder("libx265", Codec.HEVC, takes_ten_bits=False),
        Encoder("libsvtav1", Codec.AV1, takes_ten_bits=True),
    ),
    tone_maps=True,
)
SETTINGS = Settings(
    key="k",
    variants=(),
    mode=Mode.UNIT,
    unit_seconds=10.0,
    threads=4,
    speed=Speed.FAST,
    ffmpeg="n8",
)


def timeline(frames: int) -> Timeline:
    """Frames of 1/30 s, at 1/15360 s a tick."""
    return Timeline(array("q", range(0, frames * TICKS, TICKS)), frames * TICKS)


def source(frames: int = 900, **changes: Any) -> Source:
    """A 720p30 MP4 with sound; `changes` are of its video."""
    video = Video(
        stream=0,
        codec="h264",
        width=1280,
        height=720,
        rotation_degrees=0,
        sample_aspect=Fraction(1),
        pixel_format="yuv420p",
        frame_rate=Fraction(30),
        time_base=Fraction(1, 30 * TICKS),
        frames=frames,
        first_pts=0,
        end_pts=frames * TICKS,
        is_vfr=False,
        color=SDR,
    )
    return Source(
        url="file:///v.mp4",
        sha256="e",
        size_bytes=1,
        container="mov",
        start_seconds=Fraction(0),
        is_remuxed=False,
        video=replace(video, **changes),
        audio=Audio(1, "aac", 6, 48_000, Fraction(0), Fraction(30)),
        subtitles=(),
    )
