"""A server's process in a temporary folder: started, killed and started again by a test."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_STOP_SECONDS = 20.0


@dataclass
class Daemon:
    """One process and its children, which listens on `port` of `host` when it is ready."""

    argv: Sequence[str]
    folder: Path
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 20.0
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Return when the port is open."""
        process = self._spawn()
        deadline = time.monotonic() + self.ready_seconds
        while not listens(self.port, self.host):
            if process.poll() is not None or time.monotonic() > deadline:
                await self.kill()
                raise AssertionError(f"{self.argv[0]} did not start: {self.log[-2000:]}")
            await asyncio.sleep(0.02)

    def _spawn(self) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                list(self.argv),
                cwd=self.folder,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        return self.process

    async def kill(self) -> None:
        """End all of it at once, as a crash would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """End it in order."""
        await self._end(signal.SIGTERM)

    @property
    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    async def _end(self, with_signal: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        _signal_group(process, with_signal)
        try:
            await asyncio.to_thread(process.wait, _STOP_SECONDS)
        finally:
            _signal_group(process, signal.SIGKILL)
            process.wait(_STOP_SECONDS)
        deadline = time.monotonic() + _STOP_SECONDS
        while listens(self.port, self.host) and time.monotonic() < deadline:  # noqa: ASYNC110 - its children
            await asyncio.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether somebody listens on this port, of the loopback unless told otherwise."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0


def needs(program: str) -> pytest.MarkDecorator:
    """Skip without a program, that `python -m tests.support.servers install` installs."""
    return pytest.mark.skipif(program_path(program) is None, reason=f"no {program} on this machine")


def program_path(program: str) -> str | None:
    """Return where the program is: Debian puts servers where not every PATH leads."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def _signal_group(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    try:
        os.killpg(process.pid, with_signal)  # it leads a group of its own
    except ProcessLookupError:
        return


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
