"""Starts and ends a local process with all that it starts: a session of its own, one log."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from torpor.platform.local_guardian import Guardian


async def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    guardian: Guardian,
) -> asyncio.subprocess.Process:
    """Start `command` in `folder`, with all that it writes added to `log`.

    OSError or ValueError if it cannot be started, also if there is no such program.
    """
    _check(command[0], environment.get("PATH"), folder)
    guarded, stdin = guardian.guarded(command)
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *guarded,
            env=environment,
            cwd=folder,
            stdin=stdin,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _check(program: str, path: str | None, folder: Path) -> None:
    """Raise FileNotFoundError where a guarded start would only say that a shell failed."""
    place = str(folder / program) if os.sep in program else program
    if shutil.which(place, path=path) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def told(error: OSError | ValueError) -> str:
    """Return why a process could not be started, for people."""
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part)
    return str(error)


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal to the process and all of its group that is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def end(process: asyncio.subprocess.Process, grace_seconds: float) -> None:
    """End what is left of the process and of its group, also when we are being cancelled.

    SIGTERM, `grace_seconds`, SIGKILL.
    """
    if process.returncode is None:
        send(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_seconds)
    send(process, signal.SIGKILL)
    await process.wait()
