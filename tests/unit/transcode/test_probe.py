"""A count that was broken off is no count, and a program that died tells nothing of its input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clips import drawn, tools
from torpor.checkpoint import BadInput, Run
from torpor.transcode.encode import Bench, encode_audio
from torpor.transcode.fetch import Fetched, fetch
from torpor.transcode.model import AudioPlan
from torpor.transcode.probe import Probed, probe
from torpor.transcode.process import Died
from torpor.transcode.remux import remux
from torpor.transcode.tools import Tools

from .rungs import plan, variant


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Fetched:
    """A Matroska, which says nowhere how many frames it has."""
    folder = tmp_path_factory.mktemp("film")
    return fetch(str(drawn(folder / "a.mkv")), folder, Run())


def that_ends(folder: Path, ended: str, when: str) -> Tools:
    """Return tools whose ffprobe ends so after 20 lines when its words have `when` in them."""
    script = folder / "ffprobe"
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *{when}*) {tools().ffprobe} "$@" | head -n 20; {ended};; esac\n'
        f'exec {tools().ffprobe} "$@"\n'
    )
    script.chmod(0o755)
    return replace(tools(), ffprobe=str(script))


async def probed(film: Fetched, folder: Path, ended: str, when: str) -> Probed:
    return await probe(that_ends(folder, ended, when), film, folder)


async def test_a_whole_count_is_the_plans(film: Fetched, tmp_path: Path) -> None:
    assert (await probe(tools(), film, tmp_path)).source.video.frames == 90


@pytest.mark.parametrize("when", ["packet=pts", "show_streams"])
async def test_a_killed_ffprobe_is_no_bad_input(film: Fetched, tmp_path: Path, when: str) -> None:
    with pytest.raises(Died, match="ffprobe was ended by SIGKILL"):
        await probed(film, tmp_path, "kill -9 $$", when)


async def test_a_count_that_ffprobe_gave_up_is_damage(film: Fetched, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cut off or damaged after 20 frames"):
        await probed(film, tmp_path, "exit 1", "packet=pts")


async def test_frames_that_ffprobe_gave_up_to_decode_are_damage(tmp_path: Path) -> None:
    ts = fetch(str(drawn(tmp_path / "a.ts")), tmp_path, Run())
    with pytest.raises(BadInput, match="cannot be decoded after 20 frames"):
        await probed(ts, tmp_path, "exit 1", "frame=best")


async def _remuxed(bench: Bench, folder: Path) -> None:
    await remux(bench.tools, bench.source, folder, (0,))


async def _heard(bench: Bench, folder: Path) -> None:
    audio = AudioPlan("aac", 2, 128_000, ("ffmpeg", "-i", "{source}", "{target}"), "a")
    await encode_audio(bench, audio, folder / "audio.mp4")


@pytest.mark.parametrize("make", [_remuxed, _heard])
@pytest.mark.parametrize("ended", ["kill -9 $$", "exit 127"])
async def test_a_dead_ffmpeg_is_no_bad_input(
    film: Fetched, tmp_path: Path, make: Callable[[Bench, Path], Awaitable[None]], ended: str
) -> None:
    script = tmp_path / "ffmpeg"
    script.write_text(f"#!/bin/sh\n{ended}\n")
    script.chmod(0o755)
    bench = Bench(replace(tools(), ffmpeg=str(script)), plan([variant()]), film.path)
    with pytest.raises(Died):
        await make(bench, tmp_path)
