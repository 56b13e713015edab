"""Every way in which an output can be wrong is a failure of its own, told in a sentence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.support.clips import ffmpeg
from tests.unit.transcode.rungs import FRAMES, H264, Clip, clip, variant
from torpor.transcode.gates import audio_failures, expected_keyframes, grid_failures
from torpor.transcode.likeness import compare, references
from torpor.transcode.measure import Heard
from torpor.transcode.model import Codec, Plan
from torpor.transcode.verify import LEAST_SSIM, Verdict, failures, verify

NAME = variant().name
_COPY = ("-c", "copy")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return clip(tmp_path_factory.mktemp("clip"), [variant()])


def judged(made: Clip, rung: Path, planned: Plan | None = None) -> list[Verdict]:
    plan = planned or made.plan
    judging = verify(made.tools, plan, made.probed, {NAME: rung}, LEAST_SSIM, made.folder)
    return asyncio.run(judging)


def test_what_was_planned_passes(made: Clip) -> None:
    judged = verify(
        made.tools, made.plan, made.probed, {NAME: made.rung(NAME)}, LEAST_SSIM, made.folder
    )
    (verdict,) = asyncio.run(judged)
    assert verdict.failures == ()
    assert verdict.frames == FRAMES
    assert verdict.keyframes == (0, 30, 60, 90)
    assert verdict.lowest_ssim is not None
    assert verdict.lowest_ssim > 0.9


def swapped(made: Clip, target: Path) -> None:
    made.rung(NAME, [made.unit(NAME, 1), made.unit(NAME, 0)]).replace(target)


def shortened(made: Clip, target: Path) -> None:
    ffmpeg("-i", str(made.rung(NAME)), *_COPY, "-t", "3", str(target))


def silent(made: Clip, target: Path) -> None:
    ffmpeg("-i", str(made.rung(NAME)), *_COPY, "-an", str(target))


def with_late_audio(made: Clip, target: Path) -> None:
    late = ("-itsoffset", "0.2", "-i", str(made.audio), "-map", "0:v", "-map", "1:a")
    ffmpeg("-i", str(made.rung(NAME)), *late, *_COPY, str(target))


def with_other_keyframes(made: Clip, target: Path) -> None:
    ffmpeg("-i", str(made.rung(NAME)), *H264, "-g", "20", "-c:a", "copy", str(target))


def slowed(made: Clip, target: Path) -> None:
    slow = ("-itsscale", "1.01", "-i", str(made.rung(NAME)), "-i", str(made.audio))
    ffmpeg(*slow, "-map", "0:v", "-map", "1:a", *_COPY, str(target))


def damaged(made: Clip, target: Path) -> None:
    content = bytearray(made.rung(NAME).read_bytes())
    middle = content.index(b"mdat") + (len(content) - content.index(b"mdat")) // 2
    content[middle : middle + 2000] = bytes(2000)
    target.write_bytes(content)


def truncated(made: Clip, target: Path) -> None:
    content = made.rung(NAME).read_bytes()
    target.write_bytes(content[: len(content) // 2])


def empty(made: Clip, target: Path) -> None:
    target.write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (swapped, r"shows at frame \d+ what the source does not \(SSIM 0\.\d+, at least 0\.6\)"),
        (shortened, r"has \d+ frames of 120; the source has 120 now"),
        (silent, r"has no audio, and the source has"),
        (with_late_audio, r"has audio that begins at 17\d\.\d+ ms, not with the video"),
        (with_other_keyframes, r"has an unplanned keyframe at frame 20"),
        (slowed, r"shows frame \d+ 0\.\d+ ms off the source's time"),
        (damaged, r"(cannot be decoded|has errors that a decoder sees): .+"),
        (truncated, r"has \d+ frames of 120; the source has 120 now"),
        (empty, r"cannot be read: .+"),
    ],
)
def test_what_is_wrong_is_told(
    made: Clip, tmp_path: Path, spoil: Callable[[Clip, Path], None], sentence: str
) -> None:
    target = tmp_path / "wrong.mp4"
    spoil(made, target)
    told = failures(judged(made, target))
    assert any(re.fullmatch(f"{NAME} {sentence}", line) for line in told), told


def test_a_rung_of_another_size_is_told(made: Clip) -> None:
    planned = replace(made.plan, variants=(replace(variant(), width=96, height=54),))
    judged = verify(
        made.tools, planned, made.probed, {NAME: made.rung(NAME)}, LEAST_SSIM, made.folder
    )
    assert failures(asyncio.run(judged)) == [f"{NAME} is 192x108, not 96x54 as planned"]


def test_rungs_between_which_no_player_could_change_are_told() -> None:
    (told,) = grid_failures({"h264": (0, 30, 60), "av1": (0, 60)})
    assert told == "av1 has other keyframes than h264: frame 30 is one in h264 only"


def test_keyframes_are_counted_anew_in_each_unit(made: Clip) -> None:
    first, second = made.plan.units
    units = (replace(first, frames=50), replace(second, frames=70))
    assert expected_keyframes(replace(made.plan, units=units)) == (0, 30, 50, 80, 110)


def test_a_rest_in_the_last_unit_is_compared_as_part_of_it(made: Clip) -> None:
    first, second = made.plan.units
    units = (replace(first, frames=50), replace(second, frames=70))
    planned = replace(made.plan, units=units)
    program = made.tools.ffmpeg
    files = asyncio.run(references(program, planned, made.source, made.folder))
    found = asyncio.run(compare(program, planned, files[NAME], made.rung(NAME)))
    assert [each.frame for each in found.frames] == [0, 49, 50, 119]
    assert min(each.ssim for each in found.frames) > 0.9


def test_many_frames_are_compared_in_a_folder_of_any_name(made: Clip, tmp_path: Path) -> None:
    units = tuple(replace(made.plan.units[0], index=number, frames=3) for number in range(40))
    planned = replace(made.plan, units=units)
    folder = tmp_path / "it's; [a, folder]: 5\\6"
    folder.mkdir()
    files = asyncio.run(references(made.tools.ffmpeg, planned, made.source, folder))
    found = asyncio.run(compare(made.tools.ffmpeg, planned, files[NAME], made.rung(NAME)))
    assert len(found.frames) == 80
    assert found.errors == ()
    assert list(folder.iterdir()) == [files[NAME]]


def test_the_source_is_read_once_for_rungs_of_all_kinds(tmp_path: Path) -> None:
    variants = [variant(), variant(Codec.HEVC), variant(width=96, height=54)]
    several = clip(tmp_path, variants)
    rungs = {each.name: several.rung(each.name) for each in variants}
    verdicts = asyncio.run(
        verify(several.tools, several.plan, several.probed, rungs, LEAST_SSIM, tmp_path)
    )
    assert failures(verdicts) == []
    assert [each.variant for each in verdicts] == ["h264-108p", "hevc-108p", "h264-54p"]
    assert not list(tmp_path.glob("*.reference.mkv"))


def test_audio_may_be_a_frame_off_and_no_more() -> None:
    frame = Fraction(1024, 48_000)
    assert list(audio_failures(Heard(frame, 4 + frame, frame), Fraction(4))) == []
    (told,) = audio_failures(Heard(Fraction(0), 4 + 3 * frame, frame), Fraction(4))
    assert told == "has audio that ends 64.000 ms late"
    (told,) = audio_failures(Heard(Fraction(0), Fraction(4), frame), None)
    assert told == "has audio, and the source has none"
