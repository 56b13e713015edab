"""How like the source a rung's pictures are, where units meet: SSIM of their outermost frames.

A unit that was cut at the wrong frame has right counts and right times; only its pictures tell.
The source goes through the same filters as for the encoder, so size, colours and turning are equal;
it is decoded once for all rungs, and its frames that are compared are kept without loss.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torpor.transcode.calls import STALL_SECONDS, CallFailed, ffmpeg
from torpor.transcode.command import input_url
from torpor.transcode.model import Plan, Variant

_ALL = re.compile(r"^n:\d+ .*All:([\d.]+)")
_LABEL = re.compile(r"\[s(\d+)\]")
_NUMBERED = "settb=1/25,setpts=N"
_AS_NUMBERED = ("-fps_mode", "passthrough", "-enc_time_base:v", "filter", "-f", "null", "-")
_LOSSLESS = ("-c:v", "ffv1", "-fps_mode", "passthrough", "-f", "matroska")


@dataclass(frozen=True, slots=True)
class Likeness:
    """One frame's: SSIM of all planes, 1 for the same picture."""

    frame: int
    ssim: float


@dataclass(frozen=True, slots=True)
class Compared:
    """A rung that was decoded to its end: errors on the way, and its outermost frames."""

    errors: tuple[str, ...]
    frames: tuple[Likeness, ...]


async def references(program: str, plan: Plan, source: Path, folder: Path) -> Mapping[str, Path]:
    """Write the source's frames that are compared, as each variant should show them; CallFailed."""
    files = {variant.name: folder / f"{variant.name}.reference.mkv" for variant in plan.variants}
    parts = [_reference(plan, variant, number) for number, variant in enumerate(plan.variants)]
    ends = "".join(f"[edges{number}]" for number in range(len(parts)))
    chosen = f"[0:{plan.source.video.stream}]{_selected(plan)},split={len(parts)}{ends}"
    graph = ";".join([chosen, *(graph for graph, _ in parts)])
    outputs = [
        word
        for (_, label), path in zip(parts, files.values(), strict=True)
        for word in ("-map", f"[{label}]", *_LOSSLESS, input_url(path))
    ]
    read = ["-protocol_whitelist", "file", "-i", input_url(source), "-filter_complex", graph]
    patience = _stall_seconds(plan)
    await ffmpeg(program, [*read, *outputs], "reading the source", stall_seconds=patience)
    return files


async def compare(program: str, plan: Plan, reference: Path, rung: Path) -> Compared:
    """Decode all of a rung, audio too, and compare it; CallFailed if it cannot be."""
    wanted, told = edge_frames(plan), reference.with_suffix(".ssim")
    graph = (
        f"[0:v:0]{_NUMBERED}[source];[1:v:0]{_selected(plan)},{_NUMBERED}[rung];"
        f"[rung][source]ssim=stats_file={_in_graph(told)}[like]"
    )
    read = ["-xerror", "-i", input_url(reference), "-i", input_url(rung)]
    whole = ["-filter_complex", graph, "-map", "[like]", "-map", "1:a?", *_AS_NUMBERED]
    errors = await ffmpeg(program, [*read, *whole], "decoding it")
    lines = (await asyncio.to_thread(told.read_text)).splitlines()
    told.unlink()
    found = [match for line in lines if (match := _ALL.match(line))]
    if len(found) != len(wanted):
        raise CallFailed(f"{len(found)} of {len(wanted)} frames can be compared with the source")
    pairs = zip(wanted, found, strict=True)
    return Compared(errors, tuple(Likeness(frame, float(match[1])) for frame, match in pairs))


def _in_graph(path: Path) -> str:
    """Return a file's name as the value of a filter's option, in a graph: escaped for both."""
    option = re.sub(r"([\\':])", r"\\\1", str(path))
    return re.sub(r"([\\'\[\],;])", r"\\\1", option)


def edge_frames(plan: Plan) -> list[int]:
    """Return the numbers of the frames that are compared, rising: each unit's first and last."""
    chosen: set[int] = set()
    begin = 0
    for unit in plan.units:
        chosen |= {begin, begin + unit.frames - 1}
        begin += unit.frames
    return sorted(chosen)


def _stall_seconds(plan: Plan) -> float:
    """Between two frames that come out, a unit is decoded: at a tenth of its speed at least."""
    return STALL_SECONDS + 10 * max(float(unit.duration_seconds) for unit in plan.units)


def _selected(plan: Plan) -> str:
    """Return what lets those frames through: all units but the last are equally long."""
    length, total = plan.units[0].frames, plan.source.video.frames
    last = total - plan.units[-1].frames
    inner = f"lt(n,{last})*(eq(mod(n,{length}),0)+eq(mod(n,{length}),{length - 1}))"
    return f"select='{inner}+eq(n,{last})+eq(n,{total - 1})'"


def _reference(plan: Plan, variant: Variant, number: int) -> tuple[str, str]:
    """Return the graph of a variant's filters from `[edges…]` on, and its output's label.

    What is compared stays in memory: it is not moved to an encoder's device.
    """
    graph, label = _encoder_filters(variant.args)
    stream = f"[0:{plan.source.video.stream}]"
    graph = graph.replace(stream, f"[edges{number}]", 1).replace("hwupload", "null")
    renamed = _LABEL.sub(rf"[v{number}s\1]", f"{graph};[{label}]{_NUMBERED}")
    return f"{renamed}[reference{number}]", f"reference{number}"


def _encoder_filters(args: Sequence[str]) -> tuple[str, str]:
    """Return the graph and the output label of the filters that the encoder is fed by."""
    graph = args[args.index("-filter_complex") + 1]
    return graph, args[args.index("-map") + 1].strip("[]")
