"""Looking at an input: container, streams, and the time of every frame that will be decoded.

Containers lie about frame counts, so frames are counted: by packet where each becomes a frame, else
by decoding all. MPEG-TS, MPEG-PS and other inputs without an index are remuxed first: a seek in
them may find nothing, and ffmpeg calls that success.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torpor.checkpoint import BadInput
from torpor.transcode import reading
from torpor.transcode.command import input_url
from torpor.transcode.fetch import Fetched
from torpor.transcode.model import Source
from torpor.transcode.process import Advance, Ended, run
from torpor.transcode.remux import remux
from torpor.transcode.timeline import Shown, Timeline, timeline
from torpor.transcode.tools import Tools

FORMATS = (
    "mov,matroska,webm,avi,ogg,asf,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,flv,gif,nut,mxf,dv,"
    "mp3,wav,flac,aac,png_pipe,jpeg_pipe,webp_pipe"
)
"""Containers that are read: none that names other files or addresses (HLS, DASH, image2)."""
_STALL_SECONDS = 120.0
_CUT_OFF = ("partial file", "ended prematurely", "truncat")
_FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp")


@dataclass(frozen=True, slots=True)
class Probed:
    """A source, its frames' times, and the local file that units are cut from."""

    source: Source
    frames: Timeline
    path: Path


@dataclass(slots=True)
class _Packets:
    """What a file's packets say, taken line by line: hours of video have a million of them."""

    shown: list[Shown] = field(default_factory=list)
    total: int = 0
    begins_with_keyframe: bool = False
    is_corrupt: bool = False

    def take(self, line: str) -> None:
        """Count a packet; one that an edit list discards (`D`) shows no frame."""
        row = line.split(",")
        flags = row[2]
        if not self.total:
            self.begins_with_keyframe = "K" in flags
        self.total += 1
        self.is_corrupt = self.is_corrupt or "C" in flags
        if "D" not in flags:
            self.shown.append(_shown(row))

    @property
    def are_sound(self) -> bool:
        """Whether every packet says when it is shown, and none is shown before the first one."""
        if not self.shown or not self.begins_with_keyframe:
            return False
        first = self.shown[0].pts
        return first is not None and all(
            each.pts is not None and each.pts >= first for each in self.shown
        )


async def probe(tools: Tools, fetched: Fetched, scratch: Path) -> Probed:
    """Return what was fetched; a remuxed copy is made in `scratch`.

    Raises BadInput, with a reason for people, for all that cannot be transcoded.
    """
    if fetched.size_bytes == 0:
        raise BadInput("the source is empty: it has no bytes")
    described = await _describe(tools, fetched.path)
    path, remuxed_from = fetched.path, None
    if not described.is_indexed:
        path, remuxed_from = (
            await remux(tools, path, scratch, described.carried),
            described.container,
        )
        described = await _describe(tools, path)
    frames = await _frames(tools, path, described, remuxed_from is not None)
    return Probed(reading.source(described, frames, fetched, remuxed_from), frames, path)


async def _describe(tools: Tools, path: Path) -> reading.Described:
    lines: list[str] = []
    words = ("-show_format", "-show_streams", "-of", "json")
    ended = await _ffprobe(tools, path, words, lines.append)
    if ended.code != 0:
        raise BadInput(_refusal(ended, path))
    return reading.describe(json.loads("\n".join(lines)))


async def _frames(
    tools: Tools, path: Path, described: reading.Described, is_remuxed: bool
) -> Timeline:
    packets = await _packets(tools, path, described)
    _check_whole(packets, described)
    shown = packets.shown
    if is_remuxed or not described.packets_are_frames or not packets.are_sound:
        shown = await _decoded(tools, path, described)
    if not shown:
        raise BadInput("no frame of the source can be decoded")
    return timeline(shown, described.time_base)


async def _packets(tools: Tools, path: Path, described: reading.Described) -> _Packets:
    packets = _Packets()
    entries = _entries(described, "packet=pts,duration,flags")
    ended = await _ffprobe(tools, path, entries, packets.take)
    cut_off = any(sign in line for line in ended.complaint for sign in _CUT_OFF)
    packets.is_corrupt = packets.is_corrupt or cut_off or ended.code != 0
    return packets


async def _decoded(tools: Tools, path: Path, described: reading.Described) -> list[Shown]:
    shown: list[Shown] = []

    def take(line: str) -> None:
        shown.append(_shown(line.split(",")))

    entries = _entries(described, "frame=best_effort_timestamp,duration")
    ended = await _ffprobe(tools, path, entries, take)
    if ended.code != 0:
        raise BadInput(f"the source cannot be decoded after {len(shown)} frames: {ended.reason}")
    return shown


def _check_whole(packets: _Packets, described: reading.Described) -> None:
    told = int(described.video.get("nb_frames") or 0)
    if told > packets.total:
        raise BadInput(f"the source is cut off: {packets.total} of {told} frames are there")
    if packets.is_corrupt:
        raise BadInput(f"the source is cut off or damaged after {packets.total} frames")


def _entries(described: reading.Described, entries: str) -> tuple[str, ...]:
    stream = str(described.video["index"])
    return ("-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0")


async def _ffprobe(
    tools: Tools, path: Path, args: Sequence[str], on_line: Callable[[str], None]
) -> Ended:
    """Run ffprobe over the local file; only the formats of the list, and no other file."""
    bounds = ("-protocol_whitelist", "file", "-format_whitelist", FORMATS)
    argv = [tools.ffprobe, "-v", "error", *bounds, *args, input_url(path)]
    advance, lines = Advance(), 0

    def take(line: str) -> None:
        nonlocal lines
        lines += 1
        advance.at(lines)
        on_line(line)

    return await run(argv, take, advance, _STALL_SECONDS)


def _shown(row: Sequence[str]) -> Shown:
    return Shown(_integer(row[0]), _integer(row[1]) if len(row) > 1 else None)


def _integer(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None


def _is_mp4(path: Path) -> bool:
    """Whether it begins as MP4 does (ISO/IEC 14496-12, 4.2): ffmpeg goes by its name too."""
    with path.open("rb") as file:
        return file.read(8)[4:] in _FIRST_BOXES


def _refusal(ended: Ended, path: Path) -> str:
    said = " / ".join(ended.complaint[-2:]).replace(f"{input_url(path)}: ", "")
    if "moov atom not found" in said and _is_mp4(path):
        return "the source is cut off, or was never finished: it has no index (moov atom not found)"
    if "whitelist" in said:
        return (
            "the source is of a format that is not read: give MP4, MOV, Matroska, WebM, TS or AVI"
        )
    return f"the source is not a video that can be read: {said or ended.reason}"
