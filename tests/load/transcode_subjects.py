"""Who makes the rung in `bench_transcode`: one ffmpeg, the two modes, and av1an."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torpor.checkpoint import Run
from torpor.transcode.assemble import UnitFile, assemble
from torpor.transcode.calls import ffprobe
from torpor.transcode.command import fill, input_url
from torpor.transcode.encode import Bench, encode_unit
from torpor.transcode.model import Mode, Plan
from torpor.transcode.preparing import draw_up, look
from torpor.transcode.probe import Probed
from torpor.transcode.request import Devices, Request
from torpor.transcode.stream import Stream, Stretch
from torpor.transcode.tools import Tools

VARIANT = "h264-720p"
AV1AN = "av1an==6.1.5"
_ALL = re.compile(r"SSIM .*All:([\d.]+)")
_INSTALL_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Work:
    """The source, and what is to be made of it in either mode."""

    tools: Tools
    probed: Probed
    unit: Plan
    stream: Plan

    def bench(self, plan: Plan) -> Bench:
        return Bench(self.tools, plan, self.probed.path)


@dataclass(frozen=True, slots=True)
class Made:
    """A whole video, and what it took; `joined_seconds` is part of the wall-clock time."""

    path: Path
    frames: int
    cpu_seconds: float
    wall_seconds: float
    joined_seconds: float = 0.0


Subject = Callable[[Work, Path], Awaitable[Made]]


async def work(source: Path, folder: Path, unit_seconds: float) -> Work:
    """Plan the rung in both modes."""
    request = Request(
        str(source),
        variants=(VARIANT,),
        unit_seconds=unit_seconds,
        threads=1,
        devices=Devices.CPU,
    )
    tools, probed, key = await look(request, Run(), folder, lambda text: None)
    plans = [
        await draw_up(replace(request, mode=mode), tools, probed, key)
        for mode in (Mode.UNIT, Mode.STREAM)
    ]
    return Work(tools, probed, *plans)


async def one_shot(work: Work, folder: Path) -> Made:
    """One ffmpeg for the whole video: a plan of one unit, without a check."""
    bench, variant = work.bench(work.unit), work.unit.variants[0]
    first, *rest = work.unit.units
    whole = replace(first, frames=first.frames + sum(unit.frames for unit in rest))
    target = folder / "one-shot.mp4"
    watch = Stopwatch()
    values = bench.values(whole, whole.frames, target)
    argv = fill(variant.args, work.tools.ffmpeg, values)
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    return await watch.made(work, target)


async def units(work: Work, folder: Path) -> Made:
    """Mode unit: one ffmpeg a unit, one after the other, each checked."""
    bench, variant = work.bench(work.unit), work.unit.variants[0]
    watch = Stopwatch()
    paths = []
    for unit in work.unit.units:
        paths.append(folder / f"unit-{unit.index:05d}.mp4")
        await encode_unit(bench, variant, unit, paths[-1], lambda frames: None)
    return await joined(work, work.unit, paths, folder / "units.mp4", watch)


async def stream(work: Work, folder: Path) -> Made:
    """Mode stream: one ffmpeg for all units, each checked as it is closed."""
    into = folder / "stream"
    into.mkdir(exist_ok=True)
    plan = work.stream
    watch = Stopwatch()
    stretch = Stretch(plan.variants[0], plan.units)
    async with Stream(work.bench(plan), stretch, into, lambda frames: None) as running:
        paths = [await running.closed(unit) for unit in plan.units]
    return await joined(work, plan, paths, folder / "stream.mp4", watch)


async def joined(work: Work, plan: Plan, paths: list[Path], target: Path, watch: Stopwatch) -> Made:
    begun = time.monotonic()
    lengths = [unit.duration_seconds for unit in plan.units]
    files = [UnitFile(path, length) for path, length in zip(paths, lengths, strict=True)]
    await assemble(work.tools.ffmpeg, files, None, target)
    seconds = time.monotonic() - begun
    return replace(await watch.made(work, target), joined_seconds=seconds)


class Stopwatch:
    """CPU seconds of ended children, and wall-clock seconds, since it was made."""

    def __init__(self) -> None:
        self._cpu = _children_seconds()
        self._wall = time.monotonic()

    async def made(self, work: Work, path: Path) -> Made:
        cpu, wall = _children_seconds() - self._cpu, time.monotonic() - self._wall
        return Made(path, await _frames(work, path), cpu, wall)


async def _frames(work: Work, path: Path) -> int:
    counted = [
        "-select_streams",
        "v:0",
        "-count_packets",
        "-show_entries",
        "stream=nb_read_packets",
    ]
    told = [*counted, "-of", "csv=p=0", input_url(path)]
    return int((await ffprobe(work.tools.ffprobe, told, path.name))[0].strip(","))


async def ssim(work: Work, path: Path) -> float:
    """Return how like the source all frames are."""
    source = input_url(work.probed.path)
    graph = "[0:v:0]settb=1/25,setpts=N[a];[1:v:0]settb=1/25,setpts=N[b];[a][b]ssim"
    told = [work.tools.ffmpeg, "-nostdin", "-i", source, "-i", input_url(path)]
    process = await asyncio.create_subprocess_exec(
        *told, "-lavfi", graph, "-f", "null", "-", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    found = _ALL.search(said.decode(errors="replace"))
    assert found, said[-500:]
    return float(found[1])


def av1an(folder: Path) -> tuple[Subject | None, str]:
    """Return av1an's last version in Python, installed into a folder, or why it cannot be."""
    if shutil.which("x264") is None:
        return None, "it needs the program x264"
    venv = folder / "av1an"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=_INSTALL_SECONDS)
    install = [str(venv / "bin" / "pip"), "install", "--quiet", AV1AN]
    done = subprocess.run(install, capture_output=True, text=True, timeout=_INSTALL_SECONDS)
    if done.returncode != 0:
        return None, done.stderr.strip()[-300:]

    async def make(work: Work, into: Path) -> Made:
        return await _by_av1an(venv / "bin" / "av1an", work, into)

    return make, ""


async def _by_av1an(program: Path, work: Work, folder: Path) -> Made:
    target = folder / "av1an.mkv"
    target.unlink(missing_ok=True)
    every, args = work.unit.keyframe_frames, work.unit.variants[0].args

    def option(name: str) -> str:
        return args[args.index(f"-{name}") + 1]

    rate = [f"--vbv-maxrate {int(option('maxrate')) // 1000}"]
    rate.append(f"--vbv-bufsize {int(option('bufsize')) // 1000}")
    same = f"--preset {option('preset')} --crf {option('crf')} --threads 1 {' '.join(rate)}"
    encoder = f" {same} --keyint {every} --no-scenecut"
    split = ["--split_method", "none", "-xs", str(work.unit.units[0].frames), "-cm", "hybrid"]
    told = [str(program), "-i", str(work.probed.path), "-enc", "x264", "-p", "1", "-w", "1"]
    told += [*split, "-fmt", "yuv420p", "-v", encoder, "-a", " -c:a aac", "-o", str(target)]
    watch = Stopwatch()
    log = (folder / "av1an.log").open("ab")
    with log:
        process = await asyncio.create_subprocess_exec(
            *told, cwd=folder, env=_with_ffmpeg(work, folder), stdout=log, stderr=log
        )
        assert await process.wait() == 0, (folder / "av1an.log").read_text()[-500:]
    return await watch.made(work, target)


def _with_ffmpeg(work: Work, folder: Path) -> dict[str, str]:
    """Put our ffmpeg where av1an finds it, so that all use the same one."""
    there = folder / "programs"
    there.mkdir(exist_ok=True)
    for name, path in (("ffmpeg", work.tools.ffmpeg), ("ffprobe", work.tools.ffprobe)):
        if not (there / name).exists():
            (there / name).symlink_to(path)
    return {**os.environ, "PATH": f"{there}{os.pathsep}{os.environ['PATH']}"}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
