"""What ffprobe says, made a source: rotation, pixels that are not square, covers, frame counts."""

from __future__ import annotations

from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from torpor.checkpoint import BadInput
from torpor.transcode import reading
from torpor.transcode.fetch import Fetched
from torpor.transcode.model import Source
from torpor.transcode.timeline import Shown, Timeline, timeline

FETCHED = Fetched(Path("/v.mp4"), "file:///v.mp4", "e", 9)
VIDEO: dict[str, Any] = {
    "index": 0,
    "codec_type": "video",
    "codec_name": "h264",
    "width": 640,
    "height": 360,
    "time_base": "1/15360",
    "avg_frame_rate": "30/1",
}
AUDIO: dict[str, Any] = {
    "index": 1,
    "codec_type": "audio",
    "codec_name": "aac",
    "channels": 2,
    "sample_rate": "48000",
    "start_time": "-0.5",
    "duration": "3.25",
}


def read(*streams: dict[str, Any], name: str = "mov,mp4", pts: tuple[int, ...] = (0,)) -> Source:
    document = {"format": {"format_name": name, "start_time": "0.0"}, "streams": list(streams)}
    frames = Timeline(array("q", pts), pts[-1] + 512)
    return reading.source(reading.describe(document), frames, FETCHED, None)


def test_a_phone_held_upright_is_upright() -> None:
    video = read({**VIDEO, "side_data_list": [{"rotation": -90}]}).video
    assert (video.width, video.height, video.rotation_degrees) == (360, 640, 270)


def test_pixels_that_are_not_square_are_stretched() -> None:
    video = read({**VIDEO, "width": 720, "height": 576, "sample_aspect_ratio": "64:45"}).video
    assert (video.width, video.height) == (1024, 576)


def test_a_cover_is_not_the_video() -> None:
    cover = {**VIDEO, "index": 2, "width": 3000, "disposition": {"attached_pic": 1}}
    assert read(cover, VIDEO).video.stream == 0
    with pytest.raises(BadInput, match="no video stream"):
        read(cover, AUDIO)


def test_audio_begins_where_it_does_beside_the_first_frame() -> None:
    audio = read(VIDEO, AUDIO, pts=(7680, 8192)).audio
    assert audio
    assert audio.start_seconds == -1
    assert audio.duration_seconds == Fraction(13, 4)


def test_a_rate_that_the_frames_belie_is_not_believed() -> None:
    pts = tuple(range(0, 30 * 1024, 1024))
    assert read({**VIDEO, "avg_frame_rate": "90000/1"}, pts=pts).video.frame_rate < 16


@pytest.mark.parametrize(
    ("stream", "name", "reason"),
    [
        (VIDEO, "png_pipe", "still picture"),
        ({**VIDEO, "width": 1}, "mov", "1x360: 2 to 16384"),
        ({**VIDEO, "codec_name": ""}, "mov", "not known to this ffmpeg"),
        ({**VIDEO, "side_data_list": [{"dv_profile": 5}]}, "mov", "Dolby Vision profile 5"),
    ],
)
def test_what_cannot_be_transcoded_is_refused(
    stream: dict[str, Any], name: str, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        read(stream, name=name)


def test_frames_without_pts_follow_the_one_before() -> None:
    shown = [Shown(40, 10), Shown(None, 10), Shown(None, None)]
    made = timeline(shown, Fraction(1, 1000))
    assert (list(made.pts), made.end_pts) == ([40, 50, 60], 70)


def test_frames_of_the_same_pts_are_a_tick_apart_and_in_order() -> None:
    made = timeline([Shown(20, 10), Shown(0, 10), Shown(20, 10)], Fraction(1, 1000))
    assert list(made.pts) == [0, 20, 21]


def test_rounding_to_milliseconds_is_no_varying_rate() -> None:
    even = timeline([Shown(round(1000 * at / 30), 33) for at in range(90)], Fraction(1, 1000))
    odd = timeline([Shown(0, 33), Shown(33, 33), Shown(133, 33)], Fraction(1, 1000))
    assert (even.is_vfr, odd.is_vfr) == (False, True)
