"""Writes a DASH manifest (ISO/IEC 23009-1, profile isoff-live, static) for what was packaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from torpor.transcode.package import SUBTITLES, AudioStream, Package, Text, VideoStream
from torpor.transcode.segments import INIT, Rendition

MANIFEST = "manifest.mpd"
_NAMESPACE = "urn:mpeg:dash:schema:mpd:2011"
_PROFILE = "urn:mpeg:dash:profile:isoff-live:2011"
_CHANNELS = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"


def manifest(package: Package) -> str:
    """Return the manifest of all streams; rungs of one codec are one adaptation set."""
    root = Element(
        "MPD",
        {
            "xmlns": _NAMESPACE,
            "profiles": _PROFILE,
            "type": "static",
            "mediaPresentationDuration": _duration(package.duration_seconds),
            "minBufferTime": _duration(Fraction(_longest(package))),
        },
    )
    period = SubElement(root, "Period", {"id": "0", "start": "PT0S"})
    for number, family in enumerate(_families(package.videos)):
        _video_set(period, number, family)
    if package.audio is not None:
        _audio_set(period, package.audio)
    for text in package.texts:
        _text_set(period, text)
    indent(root)
    written = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written}\n'


def _families(videos: Sequence[VideoStream]) -> Iterator[list[VideoStream]]:
    def family(video: VideoStream) -> str:
        return video.family

    for _, group in groupby(sorted(videos, key=family), key=family):
        yield list(group)


def _video_set(period: Element, number: int, videos: Sequence[VideoStream]) -> None:
    attributes = {
        "id": str(number),
        "contentType": "video",
        "mimeType": "video/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
        "maxWidth": str(max(video.width for video in videos)),
        "maxHeight": str(max(video.height for video in videos)),
    }
    group = SubElement(period, "AdaptationSet", attributes)
    for video in videos:
        rate = video.frame_rate
        size = {"width": str(video.width), "height": str(video.height), "sar": "1:1"}
        rates = {"frameRate": f"{rate.numerator}/{rate.denominator}"}
        _representation(group, video.rendition, {**size, **rates})


def _audio_set(period: Element, audio: AudioStream) -> None:
    attributes = {
        "contentType": "audio",
        "mimeType": "audio/mp4",
        "segmentAlignment": "true",
        "startWithSAP": "1",
    }
    group = SubElement(period, "AdaptationSet", attributes)
    shown = _representation(group, audio.rendition, {"audioSamplingRate": str(audio.rate)})
    channels = {"schemeIdUri": _CHANNELS, "value": str(audio.channels)}
    shown.insert(0, Element("AudioChannelConfiguration", channels))


def _text_set(period: Element, text: Text) -> None:
    attributes = {"contentType": "text", "mimeType": "text/vtt", "lang": text.language}
    group = SubElement(period, "AdaptationSet", attributes)
    shown = SubElement(group, "Representation", {"id": text.file, "bandwidth": "256"})
    SubElement(shown, "BaseURL").text = f"{SUBTITLES}/{text.file}"


def _representation(group: Element, rendition: Rendition, more: dict[str, str]) -> Element:
    attributes = {
        "id": rendition.name,
        "codecs": rendition.codecs,
        "bandwidth": str(rendition.peak_bits_per_second),
        **more,
    }
    shown = SubElement(group, "Representation", attributes)
    template = {
        "timescale": str(rendition.timescale),
        "initialization": f"$RepresentationID$/{INIT}",
        "media": "$RepresentationID$/$Number%05d$.m4s",
        "startNumber": "1",
    }
    timeline = SubElement(SubElement(shown, "SegmentTemplate", template), "SegmentTimeline")
    _timeline(timeline, [segment.duration for segment in rendition.segments])
    return shown


def _timeline(timeline: Element, durations: Sequence[int]) -> None:
    """Write runs of equal durations as one element; only the first tells its time."""
    first = {"t": "0"}
    for duration, equal in groupby(durations):
        more = len(list(equal)) - 1
        repeated = {"r": str(more)} if more else {}
        SubElement(timeline, "S", {**first, "d": str(duration), **repeated})
        first = {}


def _longest(package: Package) -> int:
    return max(video.rendition.target_seconds for video in package.videos)


def _duration(seconds: Fraction) -> str:
    """Return an xs:duration."""
    return f"PT{float(seconds):.6f}".rstrip("0").rstrip(".") + "S"
