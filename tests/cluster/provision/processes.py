"""Starts daemons that outlive this process, and stops those and no others.

A pid alone proves nothing: after a restart of the machine it may belong to anybody. So a daemon
counts as ours only while the process of that pid still has the daemon's name.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .commands import LINES_OF_A_FAILURE, ProvisionFailed

POLL = 0.2


def start(name: str, command: Sequence[str], state: Path) -> None:
    """Starts the daemon in a session of its own, so that no terminal takes it along."""
    with (state / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    (state / f"{name}.pid").write_text(f"{process.pid}\n")


def running(name: str, state: Path) -> int | None:
    """The pid of our daemon of that name, if it lives."""
    try:
        pid = int((state / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if is_named(pid, name) else None


def is_named(pid: int, name: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return fields.get("Name") == name and not fields.get("State", "Z").startswith("Z")


def stop(name: str, state: Path, patience: float = 20.0) -> bool:
    """Whether there was a daemon of ours to stop."""
    pid = running(name, state)
    (state / f"{name}.pid").unlink(missing_ok=True)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    if not eventually(lambda: not is_named(pid, name), patience):
        os.kill(pid, signal.SIGKILL)
    return True


def eventually(condition: Callable[[], bool], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


def await_answer(name: str, answers: Callable[[], bool], state: Path, patience: float) -> None:
    if eventually(answers, patience):
        return
    lines = (state / f"{name}.log").read_text(errors="replace").splitlines()
    tail = "\n".join(lines[-LINES_OF_A_FAILURE:])
    raise ProvisionFailed(f"{name} did not answer within {patience:.0f} s:\n{tail}")
