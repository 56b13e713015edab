"""Sizes: never larger than the source, always even, and called what people call them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torpor.transcode.ladder import ladder, most_bits_per_second


@pytest.mark.parametrize(
    ("size", "rungs"),
    [
        ((1280, 720), ["720p 1280x720", "480p 854x480", "360p 640x360", "240p 426x240"]),
        ((720, 1280), ["720p 720x1280", "480p 480x854", "360p 360x640", "240p 240x426"]),
        ((1920, 800), ["1080p 1920x800", "720p 1280x534", "480p 854x356", "360p 640x266"]),
        ((4096, 2160), ["2160p 3840x2024", "1080p 1920x1012", "720p 1280x676", "480p 854x450"]),
        ((960, 540), ["540p 960x540", "480p 854x480", "360p 640x360", "240p 426x240"]),
        ((321, 181), ["180p 320x180"]),
        ((176, 144), ["144p 176x144"]),
        ((2, 2), ["2p 2x2"]),
        ((2000, 480), ["2000x480 2000x480", "1080p 1920x460", "720p 1280x308", "480p 854x204"]),
    ],
)
def test_sizes(size: tuple[int, int], rungs: list[str]) -> None:
    made = ladder(*size)
    assert [f"{rung.label} {rung.width}x{rung.height}" for rung in made][:4] == rungs


@given(st.integers(2, 16_384), st.integers(2, 16_384))
def test_no_size_is_above_the_source_odd_or_named_twice(width: int, height: int) -> None:
    made = ladder(width, height)
    assert made
    assert all(2 <= rung.width <= width and 2 <= rung.height <= height for rung in made)
    assert all(rung.width % 2 == rung.height % 2 == 0 for rung in made)
    assert len({rung.label for rung in made}) == len(made)


def test_the_cap_is_six_megabits_at_1080p30_and_grows_with_the_rate() -> None:
    assert most_bits_per_second(1920, 1080, Fraction(30), Fraction(1)) == 6_000_000
    assert most_bits_per_second(1920, 1080, Fraction(120), Fraction(1)) == 12_000_000
    assert most_bits_per_second(2, 2, Fraction(1), Fraction(1, 2)) == 100_000
