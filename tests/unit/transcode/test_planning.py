"""Plans: every frame in exactly one unit, rungs made or refused with a reason."""

from __future__ import annotations

from array import array
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.transcode.sources import CPU, PQ, SETTINGS, TICKS, source, timeline
from torpor.checkpoint import BadInput
from torpor.transcode.command import FRAMES, SEEK, SOURCE, TARGET, fill
from torpor.transcode.encoders import Abilities
from torpor.transcode.model import Mode, Plan
from torpor.transcode.planning import Settings, plan, units
from torpor.transcode.timeline import Timeline


def planned(settings: Settings = SETTINGS, abilities: Abilities = CPU, **video: Any) -> Plan:
    return plan(source(**video), timeline(900), settings, abilities)


def test_the_ladder_has_twelve_variants_of_four_sizes_and_three_codecs() -> None:
    names = [variant.name for variant in planned().variants]
    assert len(names) == 12
    assert names[:4] == ["h264-720p", "hevc-720p", "av1-720p", "h264-480p"]


def test_a_plan_is_the_same_after_json() -> None:
    made = planned()
    assert Plan.from_json(made.to_json()) == made


def test_units_are_ten_seconds_on_the_grid_of_keyframes() -> None:
    made = planned()
    assert made.keyframe_frames == 60
    assert [unit.frames for unit in made.units] == [300, 300, 300]
    assert [unit.seek_seconds for unit in made.units] == [0, 10, 20]


@given(
    frames=st.integers(1, 2_000),
    keyframes=st.integers(1, 120),
    times=st.integers(1, 10),
)
def test_every_frame_is_in_one_unit_and_no_unit_is_a_scrap(
    frames: int, keyframes: int, times: int
) -> None:
    every = units(source(frames), timeline(frames), keyframes * times, keyframes)
    assert sum(unit.frames for unit in every) == frames
    assert sum(unit.duration_seconds for unit in every) == Fraction(frames, 30)
    begins = [sum(unit.frames for unit in every[:index]) for index in range(len(every))]
    assert [unit.first_pts for unit in every] == [begin * TICKS for begin in begins]
    assert all(begin % keyframes == 0 for begin in begins)
    assert len(every) == 1 or min(unit.frames for unit in every) >= keyframes


def test_a_seek_counts_from_the_start_of_the_container() -> None:
    late = replace(source(900), start_seconds=Fraction(-7, 5))
    assert units(late, timeline(900), 300, 60)[1].seek_seconds == Fraction(57, 5)


@given(
    tick=st.sampled_from((Fraction(1, 90_000), Fraction(1, 1000), Fraction(1, 10_000_000))),
    pts=st.integers(0, 10**12),
)
def test_a_seek_point_is_within_half_a_tick_or_not_after_the_frame(
    tick: Fraction, pts: int
) -> None:
    frames = Timeline(array("q", [pts]), pts + 1)
    (unit,) = units(source(1, time_base=tick), frames, 1, 1)
    late = unit.seek_seconds - pts * tick
    assert late <= (tick / 2 if tick * 1_000_000 >= 1 else 0)
    assert -late <= max(tick / 2, Fraction(1, 1_000_000))


def test_a_unit_is_cut_by_its_seek_point_and_the_exact_count() -> None:
    args = planned().variant("h264-720p").args
    values = {SOURCE: "file:/v.mp4", SEEK: "10.000000", FRAMES: "300", TARGET: "file:/u.mp4"}
    command = fill(args, "/bin/ffmpeg", values)
    assert command[0] == "/bin/ffmpeg"
    assert command.index("-ss") < command.index("-i") < command.index("-frames:v")
    assert command[command.index("-frames:v") + 1] == "300"
    assert {"-xerror", "file:/v.mp4", "file:/u.mp4", "+bitexact"} <= set(command)
    assert not any("{" in word for word in command)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        (("480p",), ["h264-480p", "hevc-480p", "av1-480p"]),
        (("hevc",), ["hevc-720p", "hevc-480p", "hevc-360p", "hevc-240p"]),
        (("h264-720p", "av1-240p", "h264-720p"), ["h264-720p", "av1-240p"]),
    ],
)
def test_variants_are_asked_for_by_name_codec_or_size(
    asked: tuple[str, ...], made: list[str]
) -> None:
    names = [variant.name for variant in planned(replace(SETTINGS, variants=asked)).variants]
    assert names == made


def test_nothing_is_made_larger() -> None:
    made = planned(replace(SETTINGS, variants=("h264-1080p", "h264-720p")))
    assert [variant.name for variant in made.variants] == ["h264-720p"]
    assert made.refused == ("h264-1080p: the source is 1280x720, and nothing is made larger",)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("h264-1080p", "nothing to make: h264-1080p: the source is 1280x720"),
        ("vp9", "no variant is called vp9"),
        ("h264-333p", "no variant is called h264-333p"),
    ],
)
def test_a_plan_without_variants_is_bad_input(asked: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        planned(replace(SETTINGS, variants=(asked,)))


def test_a_codec_without_encoder_is_refused_by_name() -> None:
    made = planned(abilities=replace(CPU, encoders=CPU.encoders[:2]))
    assert {variant.codec.value for variant in made.variants} == {"h264", "hevc"}
    assert "av1-720p: this ffmpeg has no encoder for av1" in made.refused


def test_hdr_stays_hdr_only_where_encoder_and_players_take_ten_bits() -> None:
    made = planned(replace(SETTINGS, variants=("720p",)), color=PQ)
    mapped = {variant.codec.value: variant.is_tone_mapped for variant in made.variants}
    assert mapped == {"h264": True, "hevc": True, "av1": False}
    assert "perceptual" in " ".join(made.variant("h264-720p").args)
    assert "yuv420p10le" in " ".join(made.variant("av1-720p").args)


def test_sdr_rungs_of_hdr_are_refused_where_light_cannot_be_brought_down() -> None:
    made = planned(replace(SETTINGS, variants=("720p",)), replace(CPU, tone_maps=False), color=PQ)
    assert [variant.name for variant in made.variants] == ["av1-720p"]
    assert "h264-720p: the source is HDR" in made.refused[0]


def test_encoders_have_one_thread_in_unit_mode_and_all_in_stream_mode() -> None:
    assert planned().threads == 1
    assert planned(replace(SETTINGS, mode=Mode.STREAM)).threads == 4


@pytest.mark.parametrize(
    "change",
    [{"ffmpeg": "n9"}, {"unit_seconds": 20.0}, {"mode": Mode.STREAM}],
)
def test_whatever_decides_the_bytes_changes_the_hash(change: dict[str, object]) -> None:
    before = planned().variants[0].args_hash
    after = planned(replace(SETTINGS, **change)).variants[0].args_hash  # type: ignore[arg-type]
    assert before != after
