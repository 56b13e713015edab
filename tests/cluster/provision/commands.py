"""Runs other programs, says which step is under way and how long it took.

A failed program is reported by its last lines: what went wrong stands there, and a log of a
thousand lines of kubeadm would hide it.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

MINUTE = 60.0
LINES_OF_A_FAILURE = 25


class ProvisionFailed(Exception):
    """A message for the person at the terminal; no traceback helps them."""


def run(
    *command: str | Path,
    timeout: float = 10 * MINUTE,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: IO[bytes] | None = None,
) -> str:
    """The program's standard output; ProvisionFailed when it fails or takes too long."""
    words = [str(word) for word in command]
    try:
        finished = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **(environ or {})},
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise ProvisionFailed(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ProvisionFailed(f"`{_shown(words)}` did not end within {timeout:.0f} s") from None
    output = finished.stdout.decode(errors="replace")
    if finished.returncode != 0:
        raise ProvisionFailed(_explained(words, finished.returncode, output, finished.stderr))
    return output.strip()


def succeeds(*command: str | Path, timeout: float = 15.0) -> bool:
    try:
        run(*command, timeout=timeout)
    except ProvisionFailed:
        return False
    return True


@contextmanager
def step(title: str) -> Iterator[None]:
    """Prints a line when the step begins and its duration when it is done."""
    print(f"{title} ...", end="", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(" failed", flush=True)
        raise
    print(f" {time.monotonic() - began:.1f} s", flush=True)


def note(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _shown(words: list[str]) -> str:
    return " ".join(words)[:200]


def _explained(words: list[str], code: int, output: str, errors: bytes) -> str:
    lines = (output + "\n" + errors.decode(errors="replace")).strip().splitlines()
    tail = "\n".join(lines[-LINES_OF_A_FAILURE:])
    return f"`{_shown(words)}` ended with {code}:\n{tail}"
