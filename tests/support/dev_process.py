"""One `torpor dev` that several tests share: a process with ports and a state of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_START_SECONDS = 90.0
_END_SECONDS = 40.0


@dataclass
class DevProcess:
    """A run of a folder, and the addresses of its APIs. `state` is where it writes."""

    process: subprocess.Popen[str]
    state: Path
    gateway: str
    workflows: str
    events: str
    dashboard: str
    lines: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What its commands find it by."""
        return {
            **os.environ,
            "XDG_STATE_HOME": str(self.state),
            "TORPOR_GATEWAY": self.gateway,
            "TORPOR_WORKFLOWS": self.workflows,
            "TORPOR_EVENTS": self.events,
            "TORPOR_DASHBOARD": self.dashboard,
        }

    def shown(self, text: str) -> str:
        """Wait until it prints a line with this, and return the line."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            found = next((line for line in list(self.lines) if text in line), None)
            if found is not None:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"it did not print {text!r}:\n" + "\n".join(self.lines))


@contextlib.contextmanager
def dev_process(folder: Path, *options: str) -> Iterator[DevProcess]:
    """Serve a folder inside the block; the state is where PostgreSQL may enter as another user."""
    ports = _free_ports(4)
    names = ("--port", "--workflows-port", "--events-port", "--dashboard-port")
    words = [word for name, port in zip(names, ports, strict=True) for word in (name, str(port))]
    with tempfile.TemporaryDirectory(prefix="torpor-test-") as state:
        Path(state).chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-m", "torpor.cli.main", "dev", str(folder), *words, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XDG_STATE_HOME": state},
        )
        gateway, workflows, events, dashboard = (f"http://127.0.0.1:{port}" for port in ports)
        dev = DevProcess(process, Path(state), gateway, workflows, events, dashboard)
        reading = threading.Thread(target=_read, args=(process, dev.lines), name="dev's lines")
        reading.start()
        try:
            dev.shown("logs in ")
            yield dev
        finally:
            _end(process)
            reading.join(_END_SECONDS)


def _read(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    with process.stdout as out:
        for line in out:
            lines.append(line.rstrip("\n"))


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_SECONDS)
    finally:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
