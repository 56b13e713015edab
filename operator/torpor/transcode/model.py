"""What the transcoder knows and decides: a source, its ladder of variants, and the units of work.

A unit is a seek point and an exact number of frames: pieces cut by `-c copy` lose frames at open
GOPs, and a duration in decimals yields a frame too many. Times are exact: pts in ticks of the
video's time base, or fractions of a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import Any

from torpor.transcode.document import from_json, to_json

AUDIO_UNIT = "audio"
"""The one unit that holds all audio: encoded in pieces, AAC grows by 27 ms a join."""


class Codec(Enum):
    """What a variant is encoded in."""

    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"


class Mode(Enum):
    """How units are encoded."""

    UNIT = "unit"
    """One ffmpeg a unit: killed and resumed, the output is the same bytes."""
    STREAM = "stream"
    """One ffmpeg for all that is left of a variant, cut into units: nearly free, frame-exact."""


@dataclass(frozen=True, slots=True)
class Color:
    """A video's colour tags in ffmpeg's names; empty where the source says nothing."""

    primaries: str
    transfer: str
    matrix: str
    range: str

    @property
    def is_hdr(self) -> bool:
        """Whether the light is coded by PQ or HLG (ITU-R BT.2100)."""
        return self.transfer in ("smpte2084", "arib-std-b67")


@dataclass(frozen=True, slots=True)
class Video:
    """The video stream that is transcoded, as its frames come out of the decoder.

    `width` and `height` are those that a viewer sees: turned by `rotation_degrees`, stretched by
    nothing. `first_pts` and `end_pts` (the last frame's end) are ticks of `time_base`.
    """

    stream: int
    codec: str
    width: int
    height: int
    rotation_degrees: int
    sample_aspect: Fraction
    pixel_format: str
    frame_rate: Fraction
    time_base: Fraction
    frames: int
    first_pts: int
    end_pts: int
    is_vfr: bool
    color: Color

    @property
    def duration_seconds(self) -> Fraction:
        """From the first frame's begin to the last one's end."""
        return (self.end_pts - self.first_pts) * self.time_base


@dataclass(frozen=True, slots=True)
class Audio:
    """The audio stream that is carried. `start_seconds` counts from the first video frame."""

    stream: int
    codec: str
    channels: int
    rate: int
    start_seconds: Fraction
    duration_seconds: Fraction


@dataclass(frozen=True, slots=True)
class Subtitles:
    """A subtitle stream; `is_text` where it can become WebVTT."""

    stream: int
    codec: str
    language: str
    is_text: bool


@dataclass(frozen=True, slots=True)
class Source:
    """An input, and the bytes that it was: another `sha256` is another source.

    `url` has no credentials and no query. `start_seconds` is the container's: `-ss` counts from it.
    `is_remuxed` says that the units are cut from a copy in an indexed container, whose times these
    are.
    """

    url: str
    sha256: str
    size_bytes: int
    container: str
    start_seconds: Fraction
    is_remuxed: bool
    video: Video
    audio: Audio | None
    subtitles: tuple[Subtitles, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One rung in one codec. `args` are ffmpeg's, without source, seek point, count and target."""

    name: str
    codec: Codec
    width: int
    height: int
    encoder: str
    crf: int
    max_bits_per_second: int
    is_tone_mapped: bool
    args: tuple[str, ...]
    args_hash: str


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """How the audio is encoded, once for all variants."""

    codec: str
    channels: int
    bits_per_second: int
    args: tuple[str, ...]
    args_hash: str


@dataclass(frozen=True, slots=True)
class UnitPlan:
    """`frames` frames from the one at `first_pts`; the same cut for every variant.

    `seek_seconds` is for `-ss`. `duration_seconds` reaches to the next unit's first frame.
    """

    index: int
    first_pts: int
    seek_seconds: Fraction
    frames: int
    duration_seconds: Fraction


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the output: two workers with one plan make the same bytes.

    `key` is a hash of what was asked for, of which source; `threads` are those of one encoder.
    """

    source: Source
    mode: Mode
    ffmpeg: str
    threads: int
    keyframe_frames: int
    variants: tuple[Variant, ...]
    audio: AudioPlan | None
    units: tuple[UnitPlan, ...]
    refused: tuple[str, ...]
    """Rungs that were asked for and are not made, each with its reason: `av1-720p: no encoder`."""
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the plan as the document that a checkpoint keeps."""
        document: dict[str, Any] = to_json(self)
        return document

    @classmethod
    def from_json(cls, document: Any) -> Plan:
        """Return the plan in `document`; UnreadableDocument when it has another shape."""
        return from_json(cls, document)

    def variant(self, name: str) -> Variant:
        """Return the variant called `name`; KeyError when the plan has none."""
        return {variant.name: variant for variant in self.variants}[name]


def unit_name(variant: Variant, unit: UnitPlan) -> str:
    """Return the checkpoint's name of one unit of one variant: `h264-720p/00007`."""
    return f"{variant.name}/{unit.index:05d}"
