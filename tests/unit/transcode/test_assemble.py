"""Units become one file: the same frames, the same times, the same bytes."""

from __future__ import annotations

import asyncio
import re
from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.support.clips import ffmpeg
from tests.unit.transcode.rungs import (
    FRAMES,
    UNIT_FRAMES,
    UNITS,
    Clip,
    clip,
    variant,
)
from torpor.transcode.assemble import UnitFile, assemble, concat_list
from torpor.transcode.calls import CallFailed

NAME = variant().name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return clip(tmp_path_factory.mktemp("it's a clip"), [variant()])


def shown_at(path: Path) -> list[Fraction]:
    """Return when each decoded frame is shown, by PyAV's own decoder."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        assert container.streams.video[0].time_base is not None
        return [Fraction(frame.pts or 0) * (frame.time_base or 0) for frame in frames]


def test_every_frame_is_there_at_its_time(made: Clip) -> None:
    assert shown_at(made.rung(NAME)) == [Fraction(n, 30) for n in range(FRAMES)]


def test_the_same_units_give_the_same_bytes(made: Clip, tmp_path: Path) -> None:
    first = made.rung(NAME).read_bytes()
    other = Clip(tmp_path, made.plan)
    for index in range(UNITS):
        (tmp_path / f"{NAME}-{index}.mp4").write_bytes(made.unit(NAME, index).read_bytes())
    (tmp_path / "audio.m4a").write_bytes(made.audio.read_bytes())
    assert other.rung(NAME).read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["audio.m4a", f"{NAME}.mp4", *(f"{NAME}-{index}.mp4" for index in range(UNITS))]
    )


def test_varying_frame_rates_do_not_drift(made: Clip, tmp_path: Path) -> None:
    times = [
        Fraction(n, 30) if n < 40 else Fraction(40, 30) + Fraction(n - 40, 12)
        for n in range(UNIT_FRAMES)
    ]
    steps = "setpts='if(lt(N,40),N/30,40/30+(N-40)/12)/TB'"
    units = []
    for index in range(3):
        target = tmp_path / f"{index}.mp4"
        exact = ("-vf", steps, "-fps_mode", "passthrough", "-enc_time_base", "1:15360", "-an")
        ffmpeg("-i", str(made.unit(NAME, 0)), *exact, "-preset", "ultrafast", str(target))
        units.append(UnitFile(target, times[-1] + Fraction(1, 6)))  # the last is shown for longer
    asyncio.run(assemble(made.tools.ffmpeg, units, None, tmp_path / "joined.mp4"))
    expected = [n * units[0].duration_seconds + at for n in range(3) for at in times]
    found = shown_at(tmp_path / "joined.mp4")
    assert len(found) == len(expected)
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= Fraction(1, 15360)


def test_rounding_does_not_add_up() -> None:
    third = Fraction(1, 3)
    listing = concat_list([UnitFile(Path("/unit.mp4"), third)] * 3000)
    lengths = [Fraction(text) for text in re.findall(r"duration (\S+)", listing)]
    assert sum(lengths) == 1000


def test_a_missing_unit_is_told_and_leaves_nothing(made: Clip, tmp_path: Path) -> None:
    units = [UnitFile(made.unit(NAME, 0), Fraction(2)), UnitFile(tmp_path / "no.mp4", Fraction(2))]
    with pytest.raises(CallFailed, match=r"joining out\.mp4: ffmpeg said: .*Impossible to open"):
        asyncio.run(assemble(made.tools.ffmpeg, units, made.audio, tmp_path / "out.mp4"))
    assert not list(tmp_path.iterdir())
