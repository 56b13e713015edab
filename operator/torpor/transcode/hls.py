"""Writes HLS playlists (RFC 8216, and its second edition for VIDEO-RANGE) for what was packaged."""

from __future__ import annotations

from collections.abc import Sequence

from torpor.transcode.package import AUDIO, SUBTITLES, Package, Text, VideoStream
from torpor.transcode.segments import INIT, Rendition

PLAYLIST = "index.m3u8"
MASTER = "master.m3u8"
_VERSION = 7


def master(package: Package) -> str:
    """Return the playlist of all streams, the one that players should begin with first."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if package.audio is not None:
        lines.append(_audio(package.audio.rendition, package.audio.channels))
    lines += [_text(text, package.texts[:number]) for number, text in enumerate(package.texts)]
    for video in package.videos:
        lines += [_stream(package, video), f"{video.rendition.name}/{PLAYLIST}"]
    return _document(lines)


def media(rendition: Rendition) -> str:
    """Return the playlist of one stream."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{rendition.target_seconds}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{INIT}"',
    ]
    for segment in rendition.segments:
        lines += [f"#EXTINF:{float(rendition.seconds(segment)):.6f},", segment.name]
    return _document([*lines, "#EXT-X-ENDLIST"])


def text_playlist(text: Text, seconds: float) -> str:
    """Return the playlist of subtitles, which are one file."""
    lines = [
        "#EXTM3U",
        f"#EXT-X-VERSION:{_VERSION}",
        f"#EXT-X-TARGETDURATION:{max(1, round(seconds))}",
        "#EXT-X-MEDIA-SEQUENCE:1",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f"#EXTINF:{seconds:.6f},",
        text.file,
        "#EXT-X-ENDLIST",
    ]
    return _document(lines)


def _stream(package: Package, video: VideoStream) -> str:
    renditions = [video.rendition, *([package.audio.rendition] if package.audio else [])]
    attributes = [
        f"BANDWIDTH={sum(each.peak_bits_per_second for each in renditions)}",
        f"AVERAGE-BANDWIDTH={sum(each.average_bits_per_second for each in renditions)}",
        f'CODECS="{",".join(each.codecs for each in renditions)}"',
        f"RESOLUTION={video.width}x{video.height}",
        f"FRAME-RATE={float(video.frame_rate):.3f}",
        f"VIDEO-RANGE={video.range}",
        *([f'AUDIO="{AUDIO}"'] if package.audio else []),
        *([f'SUBTITLES="{SUBTITLES}"'] if package.texts else []),
        "CLOSED-CAPTIONS=NONE",
    ]
    return f"#EXT-X-STREAM-INF:{','.join(attributes)}"


def _audio(rendition: Rendition, channels: int) -> str:
    return (
        f'#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="{AUDIO}",NAME="{AUDIO}",DEFAULT=YES,AUTOSELECT=YES,'
        f'CHANNELS="{channels}",URI="{rendition.name}/{PLAYLIST}"'
    )


def _text(text: Text, before: Sequence[Text]) -> str:
    same = sum(1 for other in before if other.language == text.language)
    name = text.language if not same else f"{text.language} {same + 1}"
    return (
        f'#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="{SUBTITLES}",NAME="{name}",'
        f'LANGUAGE="{text.language}",DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,'
        f'URI="{SUBTITLES}/{text.playlist}"'
    )


def _document(lines: Sequence[str]) -> str:
    return "\n".join([*lines, ""])
