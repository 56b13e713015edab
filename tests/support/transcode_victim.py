"""The transcoder as tests start, signal and kill it, on a small clip of their own making."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.checkpoint_victim import start
from torpor.checkpoint import Checkpoint, Record, Store, Unit
from torpor.transcode.finish import plan_units
from torpor.transcode.model import Plan
from torpor.transcode.tools import find_tools

PROGRAM = ("-m", "torpor.transcode")
_SECONDS = 30.0
_TARGET = re.compile(r"/([a-z0-9]+-[0-9]+p)-([0-9]{5})\.mp4")


def make_clip(path: Path, seconds: int, size: str = "320x180") -> Path:
    """24 frames a second, with sound; keyframes where the encoder wants them."""
    command = [find_tools().ffmpeg, "-v", "error", "-f", "lavfi"]
    command += ["-i", f"testsrc2=size={size}:rate=24:duration={seconds}"]
    command += ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-c:a", "aac"]
    subprocess.run([*command, str(path)], check=True, timeout=_SECONDS)
    return path


def begin(
    folder: Path, request: Mapping[str, Any], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a worker whose store and work in hand are in the folder."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    return start(folder, request, {"TORPOR_SCRATCH": str(scratch), **environment}, PROGRAM)


def work_of(store: Store) -> Checkpoint | None:
    """The only work that is kept in a store, once it has a plan."""
    plans = [entry.key for entry in store.list() if entry.key.endswith("/plan.json")]
    return Checkpoint(store, plans[0].removesuffix("/plan.json")) if plans else None


def units_of(work: Checkpoint) -> Sequence[Unit]:
    """All units of its plan."""
    planned = work.planned()
    assert planned is not None
    return plan_units(Plan.from_json(planned))


def committed(store: Store) -> dict[Unit, Record]:
    """The units that count, each with the bytes that its record says."""
    work = work_of(store)
    if work is None:
        return {}
    found = work.committed(units_of(work))
    for record in found.values():
        work.read(record)
    return found


def results(store: Store) -> dict[str, str]:
    """The ETag of each result, of S3 or of the same bytes, without what tells of times."""
    work = work_of(store)
    assert work is not None
    done = work.finished()
    assert done is not None
    return {output["path"]: output["sha256"] for output in done["outputs"]}


def objects(store: Store) -> set[str]:
    """The names of all objects of units, which are hashes of their bytes, counted or not."""
    found = (entry.key.partition("/seg/")[2] for entry in store.list())
    return {key for key in found if key and not key.endswith(".json")}


def running(folder: Path) -> dict[int, str]:
    """The processes that work in this folder, by id, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(folder / "scratch") in line:
                found[int(entry.name)] = line
    return found


def wait_until_still(folder: Path) -> None:
    """Wait until nothing works there any more."""
    deadline = time.monotonic() + _SECONDS
    while left := running(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def in_hand(folder: Path) -> tuple[int, str]:
    """Wait until a unit is encoded; return the id of its ffmpeg, and its name."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        for process, line in running(folder).items():
            unit = _TARGET.search(line)
            if unit and "/ffmpeg" in line and "ffprobe" not in line.partition(" ")[0]:
                return process, f"{unit[1]}/{unit[2]}"
    raise AssertionError("no unit is encoded")


def wait_for_commits(store: Store, count: int, program: subprocess.Popen[str]) -> int:
    """Wait until so many units are committed, or the program ended; return how many are."""
    deadline = time.monotonic() + _SECONDS
    while (done := len(committed(store))) < count and program.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return done
