"""Tiny rungs made by plain calls of ffmpeg, and the plan that they are the result of."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tests.support.clips import ffmpeg
from torpor.transcode.assemble import UnitFile, assemble
from torpor.transcode.model import (
    Audio,
    AudioPlan,
    Codec,
    Color,
    Mode,
    Plan,
    Source,
    UnitPlan,
    Variant,
    Video,
)
from torpor.transcode.probe import Probed
from torpor.transcode.timeline import Timeline
from torpor.transcode.tools import Tools, find_tools

RATE, UNIT_FRAMES, UNITS, KEYFRAME_FRAMES = 30, 60, 2, 30
FRAMES = UNIT_FRAMES * UNITS
TICKS = 512
"""A frame's, at the time base of 1/15360 that ffmpeg gives MP4 at 30 frames a second."""
WIDTH, HEIGHT = 192, 108
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-sc_threshold", "0")
HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1")
_X265 = ("-x265-params", "log-level=none:pools=none:frame-threads=1:open-gop=0:scenecut=0")
AV1 = ("-c:v", "libsvtav1", "-preset", "13", "-svtav1-params", "lp=1")
ENCODERS = {Codec.H264: H264, Codec.HEVC: (*HEVC, *_X265), Codec.AV1: AV1}
_GRID = ("-force_key_frames", f"expr:gte(n,n_forced*{KEYFRAME_FRAMES})")
_EXACT = ("-threads", "1", "-fflags", "+bitexact", "-flags", "+bitexact", "-map_metadata", "-1")


@dataclass(frozen=True)
class Clip:
    """A source, its audio encoded, and the plan for its rungs."""

    folder: Path
    plan: Plan

    @property
    def source(self) -> Path:
        return self.folder / "source.mp4"

    @property
    def audio(self) -> Path:
        return self.folder / "audio.m4a"

    @property
    def tools(self) -> Tools:
        return find_tools()

    @property
    def probed(self) -> Probed:
        pts = array("q", range(0, FRAMES * TICKS, TICKS))
        return Probed(self.plan.source, Timeline(pts, FRAMES * TICKS), self.source)

    def rung(self, name: str, units: Sequence[Path] | None = None) -> Path:
        """Assemble the rung of a variant, of its own units in order unless others are given."""
        chosen = units or [self.unit(name, index) for index in range(UNITS)]
        length = Fraction(UNIT_FRAMES, RATE)
        target = self.folder / f"{name}.mp4"
        files = [UnitFile(path, length) for path in chosen]
        asyncio.run(assemble(self.tools.ffmpeg, files, self.audio, target))
        return target

    def unit(self, name: str, index: int) -> Path:
        """Encode a unit, unless it is there."""
        variant = self.plan.variant(name)
        target = self.folder / f"{name}-{index}.mp4"
        if not target.exists():
            seek = float(self.plan.units[index].seek_seconds)
            cut = ("-ss", f"{seek}", "-i", str(self.source), "-frames:v", f"{UNIT_FRAMES}")
            size = ("-vf", f"scale={variant.width}:{variant.height}", "-an")
            encoder = (*ENCODERS[variant.codec], *_GRID, *_EXACT)
            ffmpeg(*cut, *size, *encoder, "-video_track_timescale", "15360", str(target))
        return target


def clip(folder: Path, variants: Sequence[Variant]) -> Clip:
    """Make the source, four seconds in which every frame is another, and its audio."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Clip(folder, plan(variants))
    inputs = (f"testsrc2=s={WIDTH}x{HEIGHT}:r={RATE},negate=enable='gte(t,2)'", "sine=r=48000")
    lavfi = [word for text in inputs for word in ("-f", "lavfi", "-i", text)]
    coded = (*H264, "-c:a", "aac", "-frames:v", f"{FRAMES}", "-shortest", *_EXACT)
    ffmpeg(*lavfi, *coded, "-t", f"{FRAMES / RATE}", str(made.source))
    ffmpeg("-i", str(made.source), "-vn", "-c:a", "aac", *_EXACT, str(made.audio))
    return made


def variant(codec: Codec = Codec.H264, width: int = WIDTH, height: int = HEIGHT) -> Variant:
    """Return a rung of a size; its arguments are as far as verifying reads them."""
    graph = f"[0:0]scale={width}:{height}[s0]"
    args = ("ffmpeg", "-i", "{source}", "-filter_complex", graph, "-map", "[s0]", "{target}")
    name = f"{codec.value}-{height}p"
    encoder = ENCODERS[codec][1]
    return Variant(name, codec, width, height, encoder, 23, 0, False, args, "0" * 16)


def plan(variants: Sequence[Variant]) -> Plan:
    """Return the plan of two units of two seconds."""
    length = Fraction(UNIT_FRAMES, RATE)
    units = tuple(
        UnitPlan(index, index * UNIT_FRAMES * TICKS, index * length, UNIT_FRAMES, length)
        for index in range(UNITS)
    )
    audio = AudioPlan("aac", 1, 128_000, (), "1" * 16)
    return Plan(_source(), Mode.UNIT, "n8", 1, KEYFRAME_FRAMES, tuple(variants), audio, units, ())


def _source() -> Source:
    video = Video(
        stream=0,
        codec="h264",
        width=WIDTH,
        height=HEIGHT,
        rotation_degrees=0,
        sample_aspect=Fraction(1),
        pixel_format="yuv420p",
        frame_rate=Fraction(RATE),
        time_base=Fraction(1, RATE * TICKS),
        frames=FRAMES,
        first_pts=0,
        end_pts=FRAMES * TICKS,
        is_vfr=False,
        color=Color("", "", "", ""),
    )
    audio = Audio(1, "aac", 1, 48_000, Fraction(0), Fraction(FRAMES, RATE))
    return Source("source.mp4", "sha", 1, "mov", Fraction(0), False, video, audio, ())
