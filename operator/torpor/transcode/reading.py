"""What ffprobe says of a file, made a Source; what cannot be transcoded is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from torpor.checkpoint import BadInput
from torpor.transcode.fetch import Fetched
from torpor.transcode.model import Audio, Color, Source, Subtitles, Video
from torpor.transcode.timeline import Timeline

MOST_PIXELS_A_SIDE = 16_384
MOST_FRAME_RATE = 1_000
_TEXT_SUBTITLES = frozenset(
    ("subrip", "ass", "ssa", "webvtt", "mov_text", "text", "srt", "ttml", "eia_608")
)
_INDEXED = frozenset(("mov", "matroska"))
_PACKETS_ARE_FRAMES_OF = frozenset(
    ("h264", "hevc", "av1", "vp9", "prores", "dnxhd", "mjpeg", "ffv1")
)
_STILLS = ("image2", "_pipe")
_UNKNOWN = ("unknown", "reserved", "unspecified")


@dataclass(frozen=True, slots=True)
class Described:
    """ffprobe's words for a container and its streams."""

    format: Mapping[str, Any]
    streams: Sequence[Mapping[str, Any]]
    video: Mapping[str, Any]

    @property
    def container(self) -> str:
        """The first of the demuxer's names: `mov` also for MP4."""
        return str(self.format.get("format_name", "")).partition(",")[0]

    @property
    def is_indexed(self) -> bool:
        """Whether a seek lands where it should; else the input is remuxed first.

        AVI has an index too, but of the order of decoding: a seek by pts may miss a keyframe.
        """
        return self.container in _INDEXED

    @property
    def packets_are_frames(self) -> bool:
        """Whether each packet that is not discarded becomes one frame, by its codec."""
        progressive = self.video.get("field_order", "progressive") in ("progressive", "unknown")
        return progressive and self.video.get("codec_name") in _PACKETS_ARE_FRAMES_OF

    @property
    def carried(self) -> tuple[int, ...]:
        """The streams that outputs are made of: the video, and the audio if there is one."""
        audio = _audio_stream(self.streams)
        others = (int(audio["index"]),) if audio else ()
        return (int(self.video["index"]), *others)

    @property
    def time_base(self) -> Fraction:
        """The length of a tick in seconds."""
        return Fraction(self.video["time_base"])


def describe(document: Mapping[str, Any]) -> Described:
    """Return what ffprobe's JSON says, with the video that is meant; BadInput if there is none."""
    form, streams = document.get("format") or {}, document.get("streams") or []
    name = str(form.get("format_name", ""))
    if any(still in name for still in _STILLS):
        raise BadInput(f"the source is a still picture ({name}), not a video")
    videos = [each for each in streams if _is_video(each)]
    if not videos:
        kinds = sorted({str(each.get("codec_type")) for each in streams})
        raise BadInput(f"the source has no video stream: it holds {', '.join(kinds) or 'nothing'}")
    described = Described(form, streams, max(videos, key=_preference))
    _check_video(described.video)
    return described


def source(
    described: Described, frames: Timeline, fetched: Fetched, remuxed_from: str | None
) -> Source:
    """Return the Source whose frames those are; `remuxed_from` is the container that it was in."""
    video = _video(described, frames)
    return Source(
        url=fetched.url,
        sha256=fetched.sha256,
        size_bytes=fetched.size_bytes,
        container=remuxed_from or described.container,
        start_seconds=Fraction(described.format.get("start_time") or 0),
        is_remuxed=remuxed_from is not None,
        video=video,
        audio=_audio(described, video),
        subtitles=tuple(_subtitles(described.streams)),
    )


def _is_video(stream: Mapping[str, Any]) -> bool:
    cover = (stream.get("disposition") or {}).get("attached_pic", 0)
    return stream.get("codec_type") == "video" and not cover


def _preference(stream: Mapping[str, Any]) -> tuple[int, int]:
    default = (stream.get("disposition") or {}).get("default", 0)
    return int(default), int(stream.get("width", 0)) * int(stream.get("height", 0))


def _check_video(video: Mapping[str, Any]) -> None:
    width, height = int(video.get("width", 0)), int(video.get("height", 0))
    if not video.get("codec_name"):
        raise BadInput("the video's codec is not known to this ffmpeg")
    if width < 2 or height < 2 or max(width, height) > MOST_PIXELS_A_SIDE:
        raise BadInput(
            f"the video is {width}x{height}: 2 to {MOST_PIXELS_A_SIDE} pixels a side are possible"
        )
    if any(data.get("dv_profile") == 5 for data in video.get("side_data_list") or []):
        raise BadInput("the video is Dolby Vision profile 5, which ffmpeg shows in wrong colours")


def _video(described: Described, frames: Timeline) -> Video:
    stream, time_base = described.video, described.time_base
    seconds = (frames.end_pts - frames.pts[0]) * time_base
    degrees = _rotation(stream)
    aspect = _ratio(stream.get("sample_aspect_ratio")) or Fraction(1)
    width, height = round(int(stream["width"]) * aspect), int(stream["height"])
    if degrees % 180 == 90:
        width, height = height, width
    return Video(
        stream=int(stream["index"]),
        codec=str(stream["codec_name"]),
        width=width,
        height=height,
        rotation_degrees=degrees,
        sample_aspect=aspect,
        pixel_format=str(stream.get("pix_fmt", "")),
        frame_rate=_frame_rate(stream, frames, seconds),
        time_base=time_base,
        frames=frames.frames,
        first_pts=frames.pts[0],
        end_pts=frames.end_pts,
        is_vfr=frames.is_vfr,
        color=_color(stream),
    )


def _frame_rate(stream: Mapping[str, Any], frames: Timeline, seconds: Fraction) -> Fraction:
    """The nominal rate where the frames agree with it within a hundredth, else their average."""
    counted = frames.frames / seconds
    nominal = _ratio(stream.get("avg_frame_rate"))
    if nominal and abs(nominal - counted) < counted / 100:
        return nominal
    return min(counted.limit_denominator(1001), Fraction(MOST_FRAME_RATE))


def _rotation(stream: Mapping[str, Any]) -> int:
    turned = [each["rotation"] for each in stream.get("side_data_list") or [] if "rotation" in each]
    return round(turned[0]) % 360 if turned else 0


def _color(stream: Mapping[str, Any]) -> Color:
    names = ("color_primaries", "color_transfer", "color_space", "color_range")
    said = [str(stream.get(name) or "") for name in names]
    return Color(*("" if each in _UNKNOWN else each for each in said))


def _audio_stream(streams: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The default audio; a stream without rate or channels is none that can be decoded."""
    found = [each for each in streams if each.get("codec_type") == "audio"]
    found = [each for each in found if each.get("channels") and each.get("sample_rate")]
    default = [each for each in found if (each.get("disposition") or {}).get("default")]
    chosen = default or found
    return chosen[0] if chosen else None


def _audio(described: Described, video: Video) -> Audio | None:
    stream = _audio_stream(described.streams)
    if stream is None:
        return None
    begin = Fraction(stream.get("start_time") or described.format.get("start_time") or 0)
    duration = stream.get("duration") or described.format.get("duration")
    return Audio(
        stream=int(stream["index"]),
        codec=str(stream.get("codec_name", "")),
        channels=int(stream["channels"]),
        rate=int(stream["sample_rate"]),
        start_seconds=begin - video.first_pts * video.time_base,
        duration_seconds=Fraction(duration) if duration else video.duration_seconds,
    )


def _subtitles(streams: Sequence[Mapping[str, Any]]) -> list[Subtitles]:
    return [
        Subtitles(
            stream=int(each["index"]),
            codec=str(each.get("codec_name", "")),
            language=str((each.get("tags") or {}).get("language", "und"))[:16],
            is_text=each.get("codec_name") in _TEXT_SUBTITLES,
        )
        for each in streams
        if each.get("codec_type") == "subtitle"
    ]


def _ratio(text: object) -> Fraction | None:
    """`30000/1001` or `4:3`; None for what is unknown or zero."""
    above, _, below = str(text or "").replace(":", "/").partition("/")
    if not above.isdigit() or not (below or "1").isdigit() or not int(below or 1):
        return None
    return Fraction(int(above), int(below or 1)) or None
