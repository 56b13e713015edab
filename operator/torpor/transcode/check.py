"""Whether a unit's file is what was planned: ffmpeg also leaves valid files that are too short."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

from torpor.errors import TorporError
from torpor.transcode.command import input_url
from torpor.transcode.model import Codec
from torpor.transcode.process import Advance, run
from torpor.transcode.tools import Tools

_STALL_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Planned:
    """What a unit's file must hold."""

    codec: Codec
    frames: int
    keyframe_frames: int

    def expected(self, decodes: bool) -> dict[str, int]:
        """Return the counts that are right; `decoded` counts keyframes."""
        keyframes = ceil(self.frames / self.keyframe_frames)
        counts = {"frames": self.frames, "keyframes": keyframes}
        return counts | ({"decoded": keyframes} if decodes else {})


class UnitWrong(TorporError):
    """An encoder said that it succeeded, but its output is not what was planned."""

    code = "unit-wrong"


async def check_unit(tools: Tools, path: Path, planned: Planned) -> None:
    """Raise UnitWrong unless `path` holds what was planned, and its keyframes decode.

    All of it is decoded once it is part of a whole file: here that would cost 5 % of the encode.
    """
    decodes = tools.decodes(planned.codec)
    counted = "stream=nb_read_frames,nb_read_packets:packet=flags"
    options = ("-count_packets", *(("-skip_frame", "nokey", "-count_frames") if decodes else ()))
    shown = ("-select_streams", "v:0", "-show_entries", counted, "-of", "compact=nk=0:p=1")
    lines: list[str] = []
    argv = [tools.ffprobe, "-v", "error", *options, *shown, input_url(path)]
    ended = await run(argv, lines.append, Advance(), _STALL_SECONDS)
    found = _found(lines)
    if ended.code != 0 or ended.complaint or found != planned.expected(decodes):
        said = " ".join((str(found), *ended.complaint))
        raise UnitWrong(f"{path.name} is not {planned.expected(decodes)}: {said}")


def _found(lines: list[str]) -> dict[str, int]:
    """What ffprobe counted: packets and those that are keyframes, and frames that decode."""
    flags = [line for line in lines if line.startswith("packet|")]
    streams = [line.split("|")[1:] for line in lines if line.startswith("stream|")]
    counts = dict(each.partition("=")[::2] for each in (streams[0] if streams else ()))
    decoded = counts.get("nb_read_frames", "")
    found = {"frames": len(flags), "keyframes": sum("K" in line for line in flags)}
    return found | ({"decoded": int(decoded)} if decoded.isdigit() else {})
