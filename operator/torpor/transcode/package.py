"""What HLS and DASH describe: the streams of one title, cut into the same segments for both."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from torpor.transcode.segments import Rendition

AUDIO = "audio"
SUBTITLES = "subtitles"


@dataclass(frozen=True, slots=True)
class VideoStream:
    """A rung. `range` is SDR, PQ or HLG; `family` tells which rungs a player may switch between."""

    rendition: Rendition
    family: str
    width: int
    height: int
    frame_rate: Fraction
    range: str


@dataclass(frozen=True, slots=True)
class AudioStream:
    """The audio that all rungs share."""

    rendition: Rendition
    channels: int
    rate: int


@dataclass(frozen=True, slots=True)
class Text:
    """Subtitles: one WebVTT file beside the segments, in a language (BCP 47; `und` if unknown)."""

    file: str
    language: str

    @property
    def playlist(self) -> str:
        """Its own HLS playlist."""
        return f"{self.file}.m3u8"


@dataclass(frozen=True, slots=True)
class Package:
    """All that a player may choose from."""

    videos: tuple[VideoStream, ...]
    audio: AudioStream | None
    texts: tuple[Text, ...]
    duration_seconds: Fraction
