"""A checkpointed program that tests start, signal and kill, in a process of its own.

Its input names the units, and what happens in each: `{"units": 3, "then": {"1": "bad"}}`. It prints
a line for each unit that it begins and each that it committed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torpor
from torpor import checkpoint

ROOT = Path(__file__).parents[2]


def units(count: int) -> list[checkpoint.Unit]:
    """The units that the program makes."""
    return [checkpoint.Unit(f"{number:03d}") for number in range(count)]


def content(unit: checkpoint.Unit) -> bytes:
    """What the program makes of a unit."""
    return f"the work of {unit.name}\n".encode() * 1000


def start(
    folder: Path,
    given: object,
    environment: Mapping[str, str],
    command: Sequence[str] = ("-m", "tests.support.checkpoint_victim"),
) -> subprocess.Popen[str]:
    """Start the program (or another) with an input, in a session of its own."""
    (folder / "input").write_text(json.dumps(given))
    told = {
        "TORPOR_INPUT": str(folder / "input"),
        "TORPOR_OUTPUT": str(folder / "output"),
        "TORPOR_CHECKPOINT": str(folder / "store"),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(torpor.__file__).parents[1]}",
    }
    return subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, **told, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(program: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str, str]:
    """Wait for its end, so long at most; return the exit code and what it wrote."""
    out, err = program.communicate(timeout=seconds)
    return program.returncode, out, err


def heard(program: subprocess.Popen[str], line: str) -> None:
    """Wait until it says so."""
    assert program.stdout is not None
    for said in program.stdout:
        if said.strip() == line:
            return
    raise AssertionError(f"it ended and never said {line!r}")


def kill(program: subprocess.Popen[str]) -> None:
    """End it and all that it started, as a crash would; nothing if it ended before."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)
    program.communicate(timeout=30)


def output(folder: Path) -> Any:
    """What it left as its result, or as the reason why there is none."""
    return json.loads((folder / "output").read_text())


def records(store: checkpoint.Store, count: int) -> dict[str, checkpoint.Record]:
    """The committed units by name, each with the bytes that it should have."""
    work = checkpoint.Checkpoint(store, "work")
    found = work.committed(units(count))
    assert all(work.read(record) == content(unit) for unit, record in found.items())
    return {unit.name: record for unit, record in found.items()}


def main(run: checkpoint.Run) -> Any:
    given = run.input()
    work = run.checkpoint("work")
    all_units = units(given["units"])
    work.plan({"units": len(all_units)})
    done = len(work.committed(all_units))
    progress = run.progress(len(all_units), done=done)
    while left := run.left(work, all_units):
        for unit in left:
            with work.claim(unit) as claim:
                print("begun", unit.name, flush=True)
                _happen(given.get("then", {}).get(unit.name, ""), run)
                claim.commit(content(unit), pid=os.getpid())
            progress.advance()
            print("committed", unit.name, flush=True)
    for record in (run.gather(work, all_units) or {}).values():
        work.read(record)
    return given.get("result", {"done": len(all_units)})


def _happen(what: str, run: checkpoint.Run) -> None:
    if what == "bad":
        raise checkpoint.BadInput("line 7 is\nno number")
    if what == "crash":
        raise ZeroDivisionError("seven by nothing")
    if what == "exit":
        sys.exit(9)
    if what == "slow":
        run.stop.wait(30)
    if what == "slow and steady":
        time.sleep(0.5)
    if what == "stuck":
        time.sleep(60)


if __name__ == "__main__":
    checkpoint.run(main)
