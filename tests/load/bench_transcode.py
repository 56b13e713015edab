"""What it costs that a transcode can be killed, next to one ffmpeg that cannot, on a real video.

In turn, in each round, the 720p rung of a trailer in H.264, with the same arguments and keyframes
and one thread: one ffmpeg for all; units of 10 s, one ffmpeg each (mode unit); the same units from
one ffmpeg (mode stream); av1an, which splits too, where it can be installed (it needs `x264`). CPU
seconds are those of all children; ours include the check of each unit and the joining. A ratio is
the median of the rounds' ratios to one ffmpeg, with the least and the greatest.

Then runs of `torpor transcode run` are killed at random points, in turn in each mode: lost is the
time since the last commit, for one ffmpeg all the time that it ran. TORPOR_BENCH_ROUNDS (3) and
TORPOR_BENCH_KILLS (20) shorten it. The last line is for programs.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.load import transcode_subjects as subjects
from tests.load.bench_workflows import machine
from tests.load.transcode_subjects import Made, Subject, Work
from tests.support.clips import TRAILER, NotToBeHad, fetch
from torpor.transcode.model import Mode

ROUNDS = int(os.environ.get("TORPOR_BENCH_ROUNDS", "3"))
KILLS = int(os.environ.get("TORPOR_BENCH_KILLS", "20"))
UNIT_SECONDS = 10
ONE_SHOT, UNIT, STREAM = "one ffmpeg", "mode unit", "mode stream"
BARS = {UNIT: 1.15, STREAM: 1.03}


async def main() -> int:
    """Measure and print; 1 where the video cannot be had."""
    try:
        source = fetch(TRAILER)
    except NotToBeHad as error:
        print(error, file=sys.stderr)
        return 1
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as name:
        folder = Path(name)
        work = await subjects.work(source, folder, UNIT_SECONDS)
        ratios = await compare(work, folder)
        seconds = statistics.median(ratios.wall_seconds[ONE_SHOT])
        lost = await asyncio.to_thread(kills, source, folder, seconds)
    print(
        f"transcode stream_ratio={ratios.median(STREAM):.3f} unit_ratio={ratios.median(UNIT):.3f} "
        f"lost_s={statistics.fmean(lost.ours):.2f} "
        f"one_shot_lost_s={statistics.fmean(lost.one_shot):.2f}"
    )
    return 0


class Rounds:
    """CPU and wall-clock seconds of each subject by round."""

    def __init__(self) -> None:
        self.cpu_seconds: dict[str, list[float]] = defaultdict(list)
        self.wall_seconds: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, made: Made) -> None:
        self.cpu_seconds[name].append(made.cpu_seconds)
        self.wall_seconds[name].append(made.wall_seconds)

    def ratios(self, name: str) -> list[float]:
        pairs = zip(self.cpu_seconds[name], self.cpu_seconds[ONE_SHOT], strict=True)
        return [ours / theirs for ours, theirs in pairs]

    def median(self, name: str) -> float:
        return statistics.median(self.ratios(name))


async def compare(work: Work, folder: Path) -> Rounds:
    """Let all subjects make the same rung in turn, and print how they compare."""
    everyone: dict[str, Subject] = {
        ONE_SHOT: subjects.one_shot,
        UNIT: subjects.units,
        STREAM: subjects.stream,
    }
    peer, why_not = await asyncio.to_thread(subjects.av1an, folder)
    if peer is not None:
        everyone["av1an"] = peer
    else:
        print(f"no av1an: {why_not}")
    rounds = Rounds()
    last: dict[str, Made] = {}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", flush=True)
        for name, subject in everyone.items():
            last[name] = await subject(work, folder)
            rounds.add(name, last[name])
            print(f"  {name}: {last[name].cpu_seconds:.1f} CPU s", flush=True)
    for name, made in last.items():
        await report(work, rounds, name, made)
    return rounds


async def report(work: Work, rounds: Rounds, name: str, made: Made) -> None:
    """Print one subject's figures: CPU, ratio, and what it made."""
    cpu = statistics.median(rounds.cpu_seconds[name])
    each = rounds.ratios(name)
    ratio = f"{statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f})"
    bar = f", at most {BARS[name]}" if name in BARS else ""
    ssim = await subjects.ssim(work, made.path)
    print(
        f"{name:<12} {cpu:6.1f} CPU s, {ratio} times one ffmpeg{bar}; "
        f"{made.path.stat().st_size:,} bytes, SSIM {ssim:.5f}, {made.frames} frames"
        + (f", joined in {made.joined_seconds:.2f} s" if made.joined_seconds else ""),
        flush=True,
    )


class Lost:
    """Seconds of work that each kill lost, and would have lost of one ffmpeg."""

    def __init__(self) -> None:
        self.ours: list[float] = []
        self.one_shot: list[float] = []


def kills(source: Path, folder: Path, seconds: float) -> Lost:
    """Kill runs at random points of so many seconds, and print what each mode lost."""
    lost, by_mode = Lost(), defaultdict(list)
    chance = random.Random(8)  # the same points in each run of the bench
    for number in range(KILLS):
        mode = (Mode.UNIT, Mode.STREAM)[number % 2]
        target = folder / f"kill-{number}"
        worked, in_vain = killed(source, target, mode, chance.uniform(0, seconds))
        lost.one_shot.append(worked)
        lost.ours.append(in_vain)
        by_mode[mode.value].append(in_vain)
    means = [f"mode {mode} {statistics.fmean(each):.2f} s" for mode, each in by_mode.items()]
    whole = statistics.fmean(lost.one_shot)
    print(f"lost to a kill, mean of {KILLS}: {', '.join(means)}; one ffmpeg {whole:.2f} s")
    return lost


def killed(source: Path, target: Path, mode: Mode, seconds: float) -> tuple[float, float]:
    """Return for how long a run encoded before it was killed, and how much of that was lost."""
    words = ["--variants", "h264-720p", "--threads", "1", "--devices", "cpu"]
    words += ["--mode", mode.value, "--unit-seconds", str(UNIT_SECONDS), "--to", str(target)]
    told = [sys.executable, "-m", "torpor.cli.main", "transcode", "run", str(source), *words]
    silent = subprocess.DEVNULL
    with subprocess.Popen(told, stdout=silent, stderr=silent) as process:
        while not (target / "plan.json").exists():
            assert process.poll() is None, f"{' '.join(told)} ended with {process.returncode}"
            time.sleep(0.01)
        begun = time.time()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    ended = time.time()
    commits = [path.stat().st_mtime for path in target.glob("seg/*/*/*.json")]
    return ended - begun, ended - max([begun, *commits])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
