"""Makes a title playable while it loads: HLS and DASH over the same fragmented MP4 segments.

All rungs have their keyframes at the same frames, so that their segments begin together and a
player can change between them. Subtitles are files beside the segments: cut up, a cue moves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from torpor.transcode import dash, hls
from torpor.transcode.calls import BIT_EXACT, ffmpeg
from torpor.transcode.command import input_url
from torpor.transcode.model import Plan, Subtitles, Variant
from torpor.transcode.package import AUDIO, SUBTITLES, AudioStream, Package, Text, VideoStream
from torpor.transcode.request import Packaging
from torpor.transcode.segments import Rendition, cut_audio, cut_video

SEGMENT_SECONDS = 6
"""About how long a segment is: HLS Authoring Specification for Apple Devices, 7.5."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}")
"""BCP 47, as far as it matters here: the word comes from the source and becomes a file's name."""
_RANGES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}


async def package(
    program: str,
    plan: Plan,
    rungs: Mapping[str, Path],
    audio: Path | None,
    source: Path,
    folder: Path,
    formats: Sequence[Packaging],
) -> Package:
    """Write segments and manifests of the `rungs` by variant into `folder`; CallFailed."""
    keyframes = keyframes_a_segment(plan)
    videos = [
        _stream(plan, variant, await cut_video(program, path, folder / name, keyframes))
        for name, path in rungs.items()
        for variant in [plan.variant(name)]
    ]
    texts = await _texts(program, plan, source, folder / SUBTITLES)
    heard = await _audio(program, plan, audio, folder)
    made = Package(tuple(videos), heard, texts, plan.source.video.duration_seconds)
    for form in formats:
        _WRITERS[form](made, folder)
    return made


def keyframes_a_segment(plan: Plan) -> int:
    """Return how many keyframe intervals make a segment."""
    interval = plan.keyframe_frames / plan.source.video.frame_rate
    return max(1, round(SEGMENT_SECONDS / interval))


def _stream(plan: Plan, variant: Variant, rendition: Rendition) -> VideoStream:
    color = plan.source.video.color
    light = "SDR" if variant.is_tone_mapped else _RANGES.get(color.transfer, "SDR")
    rate = plan.source.video.frame_rate
    family = f"{variant.codec.value} {light}"
    return VideoStream(rendition, family, variant.width, variant.height, rate, light)


async def _audio(program: str, plan: Plan, path: Path | None, folder: Path) -> AudioStream | None:
    if path is None or plan.audio is None or plan.source.audio is None:
        return None
    interval = plan.keyframe_frames / plan.source.video.frame_rate
    length = Fraction(keyframes_a_segment(plan)) * interval
    rendition = await cut_audio(program, path, folder / AUDIO, length)
    return AudioStream(rendition, plan.audio.channels, rendition.timescale)


async def _texts(program: str, plan: Plan, source: Path, folder: Path) -> tuple[Text, ...]:
    streams = [stream for stream in plan.source.subtitles if stream.is_text]
    if streams:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    return tuple([await _text(program, plan, stream, source, folder) for stream in streams])


async def _text(program: str, plan: Plan, stream: Subtitles, source: Path, folder: Path) -> Text:
    language = stream.language if _LANGUAGE.fullmatch(stream.language) else "und"
    name = f"{stream.stream}-{language}.vtt"
    start = ["-ss", f"{float(plan.units[0].seek_seconds):.6f}"]
    read = ["-protocol_whitelist", "file", "-i", input_url(source)]
    chosen = ["-map", f"0:{stream.stream}", "-c:s", "webvtt"]
    target = [*BIT_EXACT, "-f", "webvtt", input_url(folder / name)]
    await ffmpeg(program, [*start, *read, *chosen, *target], f"subtitles {name}")
    return Text(name, language)


def _write_hls(made: Package, folder: Path) -> None:
    (folder / hls.MASTER).write_text(hls.master(made))
    streams = [video.rendition for video in made.videos]
    for rendition in [*streams, *([made.audio.rendition] if made.audio else [])]:
        (folder / rendition.name / hls.PLAYLIST).write_text(hls.media(rendition))
    for text in made.texts:
        listed = hls.text_playlist(text, float(made.duration_seconds))
        (folder / SUBTITLES / text.playlist).write_text(listed)


def _write_dash(made: Package, folder: Path) -> None:
    (folder / dash.MANIFEST).write_text(dash.manifest(made))


_WRITERS = {Packaging.HLS: _write_hls, Packaging.DASH: _write_dash}
