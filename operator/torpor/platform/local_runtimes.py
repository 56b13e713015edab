"""The runtimes as local processes: which there are, and the command that starts each."""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_NODE_PLACES = (
    _PACKAGE / "runtime_node" / "main.js",
    _PACKAGE.parents[1] / "images" / "runtime-node" / "torpor_runtime" / "main.js",
)
"""Where an installed package, and a checkout, has the runtime of Node.js."""
_PROGRAM = (sys.executable, "-P", "-X", "frozen_modules=on", "-m")
_PYTHON = (*_PROGRAM, "torpor_runtime")
_FETCH = (*_PROGRAM, "torpor_runtime.archive")
_TRANSCODER = "runtime-ffmpeg"
_TRANSCODE = (sys.executable, "-P", "-m", "torpor.transcode")
_NODE_NAMES = ("nodejs", "nodejs20", "nodejs22")


def command_of(runtime: str) -> tuple[str, ...]:
    """Return the command line of a runtime; empty if it does not run locally.

    Whatever version a name asks for, it is this machine's own that runs.
    """
    if runtime == "python3" or runtime.startswith("python3."):
        return _PYTHON
    if runtime in _NODE_NAMES:
        return next((("node", str(file)) for file in _NODE_PLACES if file.exists()), ())
    return ()


def fetching(command: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command that fetches the code's archive before `command`; Python's does itself."""
    return command if command == _PYTHON else (*_FETCH, *command)


def program_of(image: str | None) -> tuple[str, ...]:
    """Return the command line of an image whose program is here; empty for all others.

    Whatever registry and tag a name has, `runtime-ffmpeg` is the transcoder.
    """
    name = (image or "").partition("@")[0].rpartition("/")[2].partition(":")[0]
    return _TRANSCODE if name == _TRANSCODER else ()
