"""Deciding: which variants, where the units are cut, and the arguments of each. Pure.

The output's keyframes lie on a grid of its own, not at the source's keyframes or scene cuts: so
rungs, units and segments of HLS and DASH line up.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from torpor.checkpoint import BadInput
from torpor.transcode.command import args_hash, audio_template, video_template
from torpor.transcode.encoders import (
    BITS,
    CRF,
    SMALLEST_SIDE,
    Abilities,
    Encoder,
    Speed,
    Wanted,
    audio_args,
    audio_bits_per_second,
    device_args,
    encoder_args,
)
from torpor.transcode.filters import filters
from torpor.transcode.ladder import MOST_RUNGS, RUNGS, Rung, ladder, most_bits_per_second
from torpor.transcode.model import AudioPlan, Codec, Mode, Plan, Source, UnitPlan, Variant
from torpor.transcode.timeline import Timeline

KEYFRAME_SECONDS = 2
UNIT_SECONDS = {Mode.UNIT: 30.0, Mode.STREAM: 10.0}
"""A start of ffmpeg costs 0.5 s in unit mode; in stream mode a unit costs next to nothing."""

HDR_UNIT_SECONDS = 120.0
"""To make SDR of HDR, ffmpeg computes a table for 4 s whenever it is started."""
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user decides, or leaves to us. `ffmpeg` is the version that will encode.

    `key` is the hash of the request: who asks for the same has the same plan. `threads` are those
    of the one encoder of stream mode; in unit mode, several units are encoded at once by encoders
    of one thread each.
    """

    key: str
    variants: tuple[str, ...]
    mode: Mode
    unit_seconds: float
    threads: int
    speed: Speed
    ffmpeg: str


def plan(source: Source, frames: Timeline, settings: Settings, abilities: Abilities) -> Plan:
    """Return the plan; BadInput where it would have no variant, or names none that there are."""
    grid = _Grid.of(source, settings)
    wanted = _wanted(source, settings.variants)
    refusals = {name: _refusal(source, name, abilities) for name in wanted}
    made = [name for name, why in refusals.items() if not why]
    refused = tuple(f"{name}: {why}" for name, why in refusals.items() if why)
    if not made:
        raise BadInput(f"there is nothing to make: {'; '.join(refused)}")
    planner = _Planner(source, settings, abilities, grid)
    return Plan(
        source=source,
        mode=settings.mode,
        ffmpeg=settings.ffmpeg,
        threads=_threads(settings),
        keyframe_frames=grid.keyframe_frames,
        variants=tuple(planner.variant(name) for name in made),
        audio=planner.audio(),
        units=units(source, frames, grid.unit_frames, grid.keyframe_frames),
        refused=refused,
        key=settings.key,
    )


def units(
    source: Source, frames: Timeline, unit_frames: int, keyframe_frames: int
) -> tuple[UnitPlan, ...]:
    """Return equal units; a rest shorter than one keyframe interval belongs to the last one."""
    firsts = list(range(0, frames.frames, unit_frames))
    if len(firsts) > 1 and frames.frames - firsts[-1] < keyframe_frames:
        firsts.pop()
    ends = [*firsts[1:], frames.frames]
    time_base = source.video.time_base
    return tuple(
        UnitPlan(
            index=index,
            first_pts=frames.pts[first],
            seek_seconds=_seek(frames.pts[first] * time_base - source.start_seconds, time_base),
            frames=end - first,
            duration_seconds=(_begin(frames, end) - frames.pts[first]) * time_base,
        )
        for index, (first, end) in enumerate(zip(firsts, ends, strict=True))
    )


def _seek(at_seconds: Fraction, time_base: Fraction) -> Fraction:
    """A point for `-ss`, which has microseconds and rounds them to the nearest tick.

    Where ticks are shorter than that, a point after the frame would lose it: it is rounded down.
    """
    micros = max(Fraction(0), at_seconds) * _MICROS
    return Fraction(floor(micros) if time_base * _MICROS < 1 else round(micros), _MICROS)


@dataclass(frozen=True, slots=True)
class _Grid:
    keyframe_frames: int
    unit_frames: int

    @classmethod
    def of(cls, source: Source, settings: Settings) -> _Grid:
        rate = source.video.frame_rate
        keyframes = max(1, round(rate * KEYFRAME_SECONDS))
        seconds = settings.unit_seconds or _unit_seconds(source, settings.mode)
        return cls(keyframes, keyframes * max(1, round(Fraction(seconds) * rate / keyframes)))


@dataclass(frozen=True, slots=True)
class _Planner:
    source: Source
    settings: Settings
    abilities: Abilities
    grid: _Grid

    def variant(self, name: str) -> Variant:
        codec, rung = _named(self.source, name)
        encoder = self.abilities.encoder(codec)
        assert encoder
        keeps_hdr = _keeps_hdr(self.source, encoder)
        most = most_bits_per_second(
            rung.width, rung.height, self.source.video.frame_rate, BITS[codec]
        )
        wanted = Wanted(
            speed=self.settings.speed,
            crf=CRF[codec],
            most_bits_per_second=most,
            keyframe_frames=self.grid.keyframe_frames,
            threads=_threads(self.settings),
            ten_bits=keeps_hdr,
        )
        args = video_template(
            self.source,
            filters(self.source.video, rung.width, rung.height, encoder, keeps_hdr),
            encoder_args(encoder, wanted),
            self.settings.mode,
            device_args(encoder),
        )
        return Variant(
            name=name,
            codec=codec,
            width=rung.width,
            height=rung.height,
            encoder=encoder.name,
            crf=CRF[codec],
            max_bits_per_second=most,
            is_tone_mapped=self.source.video.color.is_hdr and not keeps_hdr,
            args=args,
            args_hash=self._hash(args),
        )

    def audio(self) -> AudioPlan | None:
        audio = self.source.audio
        if audio is None:
            return None
        args = audio_template(self.source, audio, audio_args(audio.channels, audio.rate))
        return AudioPlan(
            codec="aac",
            channels=min(audio.channels, 2),
            bits_per_second=audio_bits_per_second(audio.channels),
            args=args,
            args_hash=self._hash(args),
        )

    def _hash(self, args: tuple[str, ...]) -> str:
        """All that decides a unit's bytes besides its number."""
        source = self.source
        units = str(self.grid.unit_frames)
        return args_hash(args, self.settings.ffmpeg, source.sha256, units)


def _unit_seconds(source: Source, mode: Mode) -> float:
    hdr = source.video.color.is_hdr and mode is Mode.UNIT
    return HDR_UNIT_SECONDS if hdr else UNIT_SECONDS[mode]


def _threads(settings: Settings) -> int:
    """Of one encoder: with a cap on the bits, x264, x265 and SVT-AV1 repeat themselves with one."""
    return 1 if settings.mode is Mode.UNIT else settings.threads


def _begin(frames: Timeline, index: int) -> int:
    return frames.pts[index] if index < frames.frames else frames.end_pts


def _wanted(source: Source, asked: tuple[str, ...]) -> list[str]:
    """The names of all variants that are asked for, also of those that are not made."""
    labels = [rung.label for rung in _rungs(source)]
    if not asked:
        return [f"{codec.value}-{label}" for label in labels[:MOST_RUNGS] for codec in Codec]
    names: dict[str, None] = {}
    for word in asked:
        names.update(dict.fromkeys(_meant(word, labels)))
    return list(names)


def _meant(word: str, labels: list[str]) -> list[str]:
    codecs = [codec.value for codec in Codec]
    if word in codecs:
        return [f"{word}-{label}" for label in labels[:MOST_RUNGS]]
    codec, dash, label = word.partition("-")
    if not dash:
        codec, label = "", word
    if label not in {*labels, *(f"{rung}p" for rung in RUNGS)} or (dash and codec not in codecs):
        known = ", ".join((*codecs, *labels))
        raise BadInput(f"no variant is called {word}: name some of {known}, or h264-{labels[0]}")
    return [f"{each}-{label}" for each in codecs if codec in ("", each)]


def _named(source: Source, name: str) -> tuple[Codec, Rung]:
    codec, _, label = name.partition("-")
    return Codec(codec), {rung.label: rung for rung in _rungs(source)}[label]


def _rungs(source: Source) -> tuple[Rung, ...]:
    return ladder(source.video.width, source.video.height)


def _refusal(source: Source, name: str, abilities: Abilities) -> str:
    """Why a variant is not made; empty if it is."""
    video = source.video
    codec, _, label = name.partition("-")
    rung = {rung.label: rung for rung in _rungs(source)}.get(label)
    if rung is None:
        return f"the source is {video.width}x{video.height}, and nothing is made larger"
    encoder = abilities.encoder(Codec(codec))
    if encoder is None:
        return f"this ffmpeg has no encoder for {codec}"
    if min(rung.width, rung.height) < SMALLEST_SIDE[encoder.codec]:
        return f"{rung.width}x{rung.height} is too small for {codec}"
    if video.color.is_hdr and not _keeps_hdr(source, encoder) and not abilities.tone_maps:
        return "the source is HDR, and this ffmpeg cannot make SDR of it: use ffmpeg 8"
    return ""


def _keeps_hdr(source: Source, encoder: Encoder) -> bool:
    """H.264 players do not show HDR; other codecs keep it where the encoder takes 10 bits."""
    can = encoder.takes_ten_bits and encoder.codec is not Codec.H264
    return source.video.color.is_hdr and can
