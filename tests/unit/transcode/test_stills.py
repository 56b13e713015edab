"""A poster and thumbnails: what a player's seek bar is told is in the picture."""

from __future__ import annotations

import asyncio
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.unit.transcode.rungs import HEIGHT, WIDTH, clip, variant
from torpor.transcode.stills import cues, grid_of, write_poster, write_thumbnails
from torpor.transcode.tools import find_tools


def picture_size(path: Path) -> tuple[int, int]:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        return frame.width, frame.height


def test_poster_and_thumbnails_are_pictures_of_their_size(tmp_path: Path) -> None:
    made = clip(tmp_path / "clip", [variant()])
    rung = made.rung(variant().name)
    grid = grid_of(Fraction(4), WIDTH, HEIGHT)
    asyncio.run(write_poster(made.tools.ffmpeg, rung, Fraction(4), tmp_path / "poster.jpg"))
    asyncio.run(write_thumbnails(made.tools.ffmpeg, rung, grid, tmp_path))
    assert picture_size(tmp_path / "poster.jpg") == (WIDTH, HEIGHT)
    assert picture_size(tmp_path / "thumbnails.jpg") == (1600, 90)
    assert (tmp_path / "thumbnails.vtt").read_text() == cues(grid)


def test_one_frame_that_lasts_for_seconds_is_a_poster(tmp_path: Path) -> None:
    film, program = tmp_path / "film.mp4", find_tools().ffmpeg
    still = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1", "-frames:v", "1"]
    subprocess.run([program, *still, str(film)], check=True)
    asyncio.run(write_poster(program, film, Fraction(1), tmp_path / "poster.jpg"))
    assert picture_size(tmp_path / "poster.jpg") == (64, 64)


@pytest.mark.parametrize(
    ("seconds", "count"), [(Fraction(1, 30), 1), (4, 4), (100, 100), (7200, 100)]
)
def test_there_are_at_most_a_hundred(seconds: Fraction, count: int) -> None:
    assert grid_of(Fraction(seconds), 1920, 1080).count == count


def test_cues_follow_each_other_row_by_row() -> None:
    text = cues(grid_of(Fraction(7200), 1920, 1080)).splitlines()
    assert text[:4] == [
        "WEBVTT",
        "",
        "00:00:00.000 --> 00:01:12.000",
        "thumbnails.jpg#xywh=0,0,160,90",
    ]
    assert text[-2:] == ["01:58:48.000 --> 02:00:00.000", "thumbnails.jpg#xywh=1440,810,160,90"]
