"""What ffmpeg can do is found by letting it: what it lists may not work, and a disk may be full."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.clips import tools
from torpor.transcode.abilities import find_abilities, works
from torpor.transcode.model import Codec
from torpor.transcode.request import Devices
from torpor.transcode.running import run_ffmpeg
from torpor.transcode.tools import Tools


def lists_nvenc(folder: Path) -> Tools:
    """An ffmpeg that was built with NVENC, on a machine without a GPU for it."""
    real, program = tools(), folder / "ffmpeg"
    listing = 'case "$*" in *-encoders*) echo " V....D h264_nvenc NVIDIA NVENC";; esac'
    program.write_text(f'#!/bin/sh\n{listing}\nexec {real.ffmpeg} "$@"\n')
    program.chmod(0o755)
    return replace(real, ffmpeg=str(program))


async def test_an_encoder_that_is_listed_but_does_not_encode_is_passed_over(
    tmp_path: Path,
) -> None:
    found = await find_abilities(lists_nvenc(tmp_path), Devices.AUTO)
    encoder = found.encoder(Codec.H264)
    assert encoder
    assert (encoder.name, encoder.is_hardware) == ("libx264", False)
    assert [failed.partition(":")[0] for failed in found.failed] == ["h264_nvenc"]


async def test_hardware_is_not_tried_where_the_cpu_is_asked_for(tmp_path: Path) -> None:
    assert (await find_abilities(lists_nvenc(tmp_path), Devices.CPU)).failed == ()


async def test_what_a_plan_names_is_tried_where_it_is_used(tmp_path: Path) -> None:
    assert await works(tools(), "libx264", Codec.H264)
    assert not await works(lists_nvenc(tmp_path), "h264_nvenc", Codec.H264)


async def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho 'av_interleaved: No space left on device' >&2\nexit 228\n")
    program.chmod(0o755)
    with pytest.raises(OSError, match="the disk for work in hand is full") as caught:
        await run_ffmpeg([str(program)])
    assert caught.value.errno == errno.ENOSPC
