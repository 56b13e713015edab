"""The logs of a function's processes under `torpor dev`: files in the place of its run."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from torpor.cli.loglines import Belonging
from torpor.dev.state import LOCK, base
from torpor.errors import TorporError
from torpor.resources.names import FunctionKey

LOOK_SECONDS = 0.3
"""How often --follow looks for more."""


class NoDevLogs(TorporError):
    """No run of `torpor dev` has a log of this function."""

    code = "no-logs"


@dataclass(slots=True)
class DevLogs:
    """Prints what was written to a folder of logs since it was asked last."""

    folder: Path
    belonging: Belonging
    _read_bytes: dict[Path, int] = field(default_factory=dict)

    def print_new(self, out: TextIO, tail: int | None = None) -> None:
        """Print the lines that are new; at first the last `tail` of each process, None for all."""
        files = sorted(self.folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
        prefixed = len(files) > 1
        for file in files:
            lines = [line for line in self._new(file) if self.belonging.covers(line)]
            for line in lines if tail is None else lines[max(0, len(lines) - tail) :]:
                print(f"[{file.stem}] {line}" if prefixed else line, file=out)
        out.flush()

    async def follow(self, out: TextIO, tail: int | None) -> None:
        """Print what is written from now on too, until cancelled."""
        self.print_new(out, tail)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.print_new(out)

    def _new(self, file: Path) -> Iterator[str]:
        with file.open("rb") as source:
            start = self._read_bytes.get(file, 0)
            if file.stat().st_size < start:  # it was kept small
                start = 0
            source.seek(start)
            whole, end, _ = source.read().rpartition(b"\n")
        self._read_bytes[file] = start + len(whole) + len(end)
        yield from whole.decode(errors="replace").splitlines() if end else ()


def logs_of(key: FunctionKey, belonging: Belonging) -> DevLogs:
    """Return the logs of a function in the run that goes on now, or was last; NoDevLogs."""
    found = [place for place in _places() if (place / key.namespace / key.name / "logs").is_dir()]
    if not found:
        raise NoDevLogs(
            f"no run of torpor dev in {base()} has logs of {key}: has it been called yet? Set "
            "XDG_STATE_HOME as torpor dev has it"
        )
    place = max(found, key=lambda place: (_is_running(place), place.stat().st_mtime))
    return DevLogs(place / key.namespace / key.name / "logs", belonging)


def _places() -> Iterator[Path]:
    try:
        yield from (path for path in base().iterdir() if path.is_dir())
    except (OSError, RuntimeError):
        return


def _is_running(place: Path) -> bool:
    try:
        with (place / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
