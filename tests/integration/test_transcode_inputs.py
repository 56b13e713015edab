"""Whatever is put in: the right output, frame for frame, or one line that says why not.

PyAV decodes source and output as a second opinion on frames and their times.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.clips import cut_off, drawn, ffmpeg, heard
from tests.support.transcoding import farthest_seconds, request, seen, transcoded
from torpor.checkpoint import BadInput, Run
from torpor.transcode.encode import Bench, encode_unit
from torpor.transcode.model import Mode, Plan
from torpor.transcode.preparing import prepare

Draw = Callable[[Path], Path]


def _plain(folder: Path) -> Path:
    return drawn(folder / "a.mp4", "-bf", "3", seconds=5)


def _open_gops(folder: Path) -> Path:
    params = "open-gop=1:keyint=20:bframes=3:b-adapt=0"
    return drawn(folder / "a.mp4", "-bf", "3", "-x264-params", params, seconds=5)


def _one_keyframe(folder: Path) -> Path:
    return drawn(folder / "a.ts", "-g", "999", seconds=5)


def _late_start(folder: Path) -> Path:
    return drawn(folder / "a.ts", "-bf", "3", "-output_ts_offset", "5.3", seconds=5)


def _no_pts(folder: Path) -> Path:
    return drawn(folder / "a.avi", "-c:v", "mpeg4", "-bf", "2", "-g", "12", seconds=5)


def _varying_rate(folder: Path) -> Path:
    uneven = "select='not(eq(mod(n,7),3))',setpts='PTS+if(gt(N,50),0.05/TB,0)'"
    return drawn(folder / "a.mp4", "-vf", uneven, "-fps_mode", "passthrough", seconds=5)


def _edit_list(folder: Path) -> Path:
    whole = drawn(folder / "whole.mp4", seconds=5)
    ffmpeg("-ss", "1.3", "-i", whole, "-c", "copy", folder / "a.mp4")
    return folder / "a.mp4"


def _odd(folder: Path) -> Path:
    return drawn(folder / "a.mp4", "-pix_fmt", "yuv444p", size="161x91")


def _rotated(folder: Path) -> Path:
    ffmpeg("-display_rotation", "90", "-i", _plain(folder), "-c", "copy", folder / "b.mp4")
    return folder / "b.mp4"


def _one_frame(folder: Path) -> Path:
    return drawn(folder / "a.mp4", "-frames:v", "1")


def _no_index(folder: Path) -> Path:
    return drawn(folder / "a.mkv", "-bf", "3", "-f", "matroska", "-live", "1", seconds=5)


@pytest.mark.parametrize(
    "draw",
    [
        _plain,
        _open_gops,
        _one_keyframe,
        _late_start,
        _no_pts,
        _varying_rate,
        _edit_list,
        _odd,
        _one_frame,
        _no_index,
    ],
)
async def test_every_frame_is_there_at_its_time(draw: Draw, tmp_path: Path) -> None:
    source = draw(tmp_path)
    result = await transcoded(request(source, tmp_path / "out"))
    variant = result["variants"][0]
    made = seen(tmp_path / "out" / variant["path"])
    assert farthest_seconds(made, seen(source)) <= 0.001
    assert variant["frames"] == made.frames
    assert variant["lowestSsim"] > 0.8
    plan = Plan.from_json(json.loads((tmp_path / "out" / "plan.json").read_text()))
    assert made.keyframes == list(range(0, made.frames, plan.keyframe_frames))
    assert max(made.size) <= 160


async def test_one_ffmpeg_for_all_units_keeps_a_varying_rate(tmp_path: Path) -> None:
    source = _varying_rate(tmp_path)
    result = await transcoded(request(source, tmp_path / "out", mode=Mode.STREAM))
    made = seen(tmp_path / "out" / result["variants"][0]["path"])
    assert farthest_seconds(made, seen(source)) <= 0.001
    assert made.keyframes == [0, 51, 102]


async def test_a_phone_held_upright_gives_an_upright_video(tmp_path: Path) -> None:
    result = await transcoded(request(_rotated(tmp_path), tmp_path / "out"))
    made = seen(tmp_path / "out" / result["variants"][0]["path"])
    assert made.size == (90, 160)
    assert result["variants"][0]["lowestSsim"] > 0.8


async def test_sound_begins_and_ends_with_the_picture(tmp_path: Path) -> None:
    source = heard(tmp_path / "a.ts", "-bf", "3", seconds=5)
    result = await transcoded(request(source, tmp_path / "out"))
    made = seen(tmp_path / "out" / result["variants"][0]["path"])
    assert made.audio_seconds == pytest.approx(5.0, abs=0.065)
    assert made.times[-1] == Fraction(149, 30)


async def test_hevc_and_av1_have_the_frames_and_keyframes_of_h264(tmp_path: Path) -> None:
    """PyAV decodes AV1 where the ffmpeg that encoded it cannot."""
    variants = ("h264", "hevc", "av1")
    source = _plain(tmp_path)
    result = await transcoded(request(source, tmp_path / "out", variants=variants))
    every = [seen(tmp_path / "out" / variant["path"]) for variant in result["variants"]]
    assert [made.frames for made in every] == [150] * 3
    assert [made.keyframes for made in every] == [[0, 60, 120]] * 3
    assert all(farthest_seconds(made, seen(source)) <= 0.001 for made in every)


async def test_hdr_becomes_sdr_in_h264(tmp_path: Path) -> None:
    """Grey of 100, 203 (BT.2408: white) and 1000 nits: told apart, and none cut off."""
    path = await _first_unit(_greys_in_pq(tmp_path), tmp_path, "h264")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        luma = frame.planes[0]
        levels = [bytes(luma)[48 * luma.line_size + at] for at in (16, 48, 80)]
    assert (frame.format.name, frame.color_trc, frame.color_primaries) == ("yuv420p", 1, 1)
    assert 100 < levels[0] < levels[1] - 10 < levels[2] - 20 < 240


async def test_hdr_stays_hdr_in_av1(tmp_path: Path) -> None:
    path = await _first_unit(_greys_in_pq(tmp_path), tmp_path, "av1")
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert (frame.format.name, frame.color_trc, frame.color_primaries) == ("yuv420p10le", 16, 9)


def _greys_in_pq(folder: Path) -> Path:
    light = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    codes = "if(lt(X,W/3),509,if(lt(X,2*W/3),573,723))"
    grey = f"format=yuv420p10le,geq=lum='{codes}':cb=512:cr=512,{light}"
    form = ("-pix_fmt", "yuv420p10le")
    return drawn(folder / "a.mp4", "-vf", grey, *form, "-frames:v", "2", size="96x96")


async def _first_unit(source: Path, folder: Path, codec: str) -> Path:
    """Encode a source's only unit, without what finishing costs."""
    wanted = request(source, folder / "out", variants=(codec,))
    ready = await prepare(wanted, Run(), folder, lambda text: None)
    bench, target = Bench(ready.tools, ready.plan, ready.probed.path), folder / "unit.mp4"
    variant, unit = ready.plan.variants[0], ready.plan.units[0]
    await encode_unit(bench, variant, unit, target, lambda frames: None)
    return target


def _cut_mp4(folder: Path) -> Path:
    source = drawn(folder / "a.mp4", "-movflags", "+faststart")
    return cut_off(source, folder / "cut.mp4", 0.6)


def _cut_mkv(folder: Path) -> Path:
    return cut_off(drawn(folder / "a.mkv"), folder / "cut.mkv", 0.6)


def _unfinished(folder: Path) -> Path:
    return cut_off(drawn(folder / "a.mp4"), folder / "cut.mp4", 0.6)


def _damaged(folder: Path) -> Path:
    source = drawn(folder / "a.mp4", "-movflags", "+faststart")
    content = bytearray(source.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    source.write_bytes(content)
    return source


def _empty(folder: Path) -> Path:
    (folder / "a.mp4").touch()
    return folder / "a.mp4"


def _text(folder: Path) -> Path:
    (folder / "a.mp4").write_text("this is no video\n" * 100)
    return folder / "a.mp4"


def _sound_only(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", folder / "a.m4a")
    return folder / "a.m4a"


def _still(folder: Path) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=duration=1", "-frames:v", "1", folder / "a.jpg")
    return (folder / "a.jpg").rename(folder / "a")


def _pictures(folder: Path) -> Path:
    """A file whose name stands for others, for an ffmpeg that may take it so."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=duration=1", "-frames:v", "3", folder / "%d.jpg")
    return (folder / "1.jpg").rename(folder / "%d.jpg")


def _playlist(folder: Path) -> Path:
    """A playlist that names another file of this machine is not followed."""
    drawn(folder / "secret.ts")
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:3", "#EXTINF:3,", "secret.ts", "#EXT-X-ENDLIST")
    (folder / "a.m3u8").write_text("\n".join(lines))
    return folder / "a.m3u8"


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (_cut_mp4, r"cut off: \d+ of 90 frames are there"),
        (_cut_mkv, r"cut off or damaged after \d+ frames"),
        (_unfinished, "no index"),
        (_damaged, "cannot be decoded near"),
        (_empty, "the source is empty"),
        (_text, "not a video that can be read"),
        (_sound_only, "no video stream: it holds audio"),
        (_still, "still picture"),
        (_pictures, "a format that is not read"),
        (_playlist, "a format that is not read"),
        (lambda folder: folder / "none.mp4", "there is no file"),
        (lambda folder: folder, "is a folder"),
    ],
)
async def test_what_cannot_be_transcoded_says_why_in_a_line(
    draw: Draw, reason: str, tmp_path: Path
) -> None:
    source = draw(tmp_path)
    with pytest.raises(BadInput, match=reason) as caught:
        await transcoded(request(source, tmp_path / "out"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "done.json").exists()
