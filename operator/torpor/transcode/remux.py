"""Copying an input without an index into a container that has one, frame by frame as it is."""

from __future__ import annotations

from pathlib import Path

from torpor.checkpoint import BadInput
from torpor.transcode.command import SOURCE, TARGET, fill, input_url, remux_template
from torpor.transcode.running import run_ffmpeg
from torpor.transcode.tools import Tools

_CONTAINERS = ("mp4", "nut")
"""MP4 keeps times exact; NUT takes the codecs that MP4 does not."""


async def remux(tools: Tools, path: Path, scratch: Path, streams: tuple[int, ...]) -> Path:
    """Return a file in `scratch` with those streams of `path`; BadInput where they cannot be read.

    Frames before the first keyframe are left out: nothing can decode them.
    """
    said = ""
    for container in _CONTAINERS:
        target = scratch / f"remuxed.{container}"
        values = {SOURCE: input_url(path), TARGET: input_url(target)}
        argv = fill(remux_template(streams, container), tools.ffmpeg, values)
        ended = await run_ffmpeg(argv)
        if ended.code == 0:
            return target
        said = ended.reason
    raise BadInput(f"the source cannot be read to its end: {said}")
