"""Cuts an assembled rung into the fragmented MP4 files that HLS and DASH have in common.

ffmpeg muxes one fragment from keyframe to keyframe, and its bytes are copied into files here: its
own HLS muxer shifts video against audio, and writes no codec string for HEVC.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

from torpor.transcode.calls import BIT_EXACT, ffmpeg
from torpor.transcode.codec_strings import codec_string
from torpor.transcode.command import input_url
from torpor.transcode.isobmff import Fragment, read_fragmented

INIT = "init.mp4"
_COPY_BYTES = 1 << 20
_FRAGMENTED = "+delay_moov+default_base_moof+skip_trailer"
"""With `delay_moov`, B-frames and the encoder's delay become an edit list, as players expect."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a rendition; `duration` is in ticks of the rendition's timescale."""

    name: str
    size_bytes: int
    duration: int


@dataclass(frozen=True, slots=True)
class Rendition:
    """One stream cut into segments: its header is `init.mp4`, its folder is its name."""

    name: str
    codecs: str
    timescale: int
    segments: tuple[Segment, ...]

    def seconds(self, segment: Segment) -> Fraction:
        """Return how long a segment is."""
        return Fraction(segment.duration, self.timescale)

    @property
    def duration_seconds(self) -> Fraction:
        """How long all of it is."""
        return sum((self.seconds(segment) for segment in self.segments), Fraction(0))

    @property
    def average_bits_per_second(self) -> int:
        """RFC 8216, 4.3.4.2, AVERAGE-BANDWIDTH."""
        bits = 8 * sum(segment.size_bytes for segment in self.segments)
        return -int(-bits // self.duration_seconds)

    @property
    def peak_bits_per_second(self) -> int:
        """RFC 8216, 4.1: of any run of segments as long as half to one and a half targets."""
        least, most = Fraction(self.target_seconds, 2), Fraction(3 * self.target_seconds, 2)
        rates = (
            rate
            for first in range(len(self.segments))
            for seconds, rate in self._runs(first, most)
            if seconds >= least
        )
        return max(rates, default=self.average_bits_per_second)

    @property
    def target_seconds(self) -> int:
        """RFC 8216, 4.3.3.1: no segment, rounded, is longer."""
        return max(1, *(round(self.seconds(segment)) for segment in self.segments))

    def _runs(self, first: int, most_seconds: Fraction) -> Iterator[tuple[Fraction, int]]:
        """Yield length and rate of each run from a segment on that is not longer than that."""
        bits, seconds = 0, Fraction(0)
        for segment in islice(self.segments, first, None):
            bits += 8 * segment.size_bytes
            seconds += self.seconds(segment)
            if seconds > most_seconds:
                return
            yield seconds, -int(-bits // seconds)


async def cut_video(program: str, rung: Path, folder: Path, keyframes: int) -> Rendition:
    """Write a rung's video into a folder, as segments of so many keyframe intervals each."""
    cutting = ["-map", "0:v:0", "-movflags", f"+frag_keyframe{_FRAGMENTED}"]
    return await _cut(program, rung, folder, cutting, keyframes)


async def cut_audio(program: str, audio: Path, folder: Path, seconds: Fraction) -> Rendition:
    """Write audio as segments about as long as those of the video."""
    length = ["-frag_duration", str(round(seconds * 1_000_000))]
    return await _cut(program, audio, folder, ["-map", "0:a:0", "-movflags", _FRAGMENTED, *length])


async def _cut(
    program: str, source: Path, folder: Path, cutting: Sequence[str], together: int = 1
) -> Rendition:
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    whole = folder / "whole.mp4"
    copying = [
        "-i",
        input_url(source),
        *cutting,
        "-c",
        "copy",
        *BIT_EXACT,
        "-f",
        "mp4",
        input_url(whole),
    ]
    try:
        await ffmpeg(program, copying, f"packaging {source.name}")
        return await asyncio.to_thread(_split, whole, folder, together)
    finally:
        whole.unlink(missing_ok=True)


def _split(whole: Path, folder: Path, together: int) -> Rendition:
    found = read_fragmented(whole)
    _copy(whole, 0, found.header_bytes, folder / INIT)
    groups = [
        found.fragments[first : first + together]
        for first in range(0, len(found.fragments), together)
    ]
    segments = [
        _segment(whole, group, number, folder) for number, group in enumerate(groups, start=1)
    ]
    codecs = codec_string(found.entry_kind, found.sample_entry)
    lengths = _durations(groups)
    timed = zip(segments, lengths, strict=True)
    return Rendition(
        folder.name,
        codecs,
        found.timescale,
        tuple(Segment(path.name, path.stat().st_size, length) for path, length in timed),
    )


def _durations(groups: Sequence[Sequence[Fragment]]) -> list[int]:
    """Return how long each group is shown: up to the next one, the last up to its end."""
    starts = [group[0].start for group in groups]
    return [after - start for start, after in pairwise([*starts, groups[-1][-1].end])]


def _segment(whole: Path, group: Sequence[Fragment], number: int, folder: Path) -> Path:
    path = folder / f"{number:05d}.m4s"
    size = sum(fragment.size_bytes for fragment in group)
    _copy(whole, group[0].offset, size, path)
    return path


def _copy(whole: Path, offset: int, size: int, target: Path) -> None:
    with whole.open("rb") as source, target.open("wb") as sink:
        source.seek(offset)
        while size > 0 and (piece := source.read(min(size, _COPY_BYTES))):
            sink.write(piece)
            size -= len(piece)
