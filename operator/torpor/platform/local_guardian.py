"""Ends local processes when this process can no longer do it: after SIGKILL, or a crash.

A small process of its own knows the process groups that run, over a pipe that only we hold. When
the pipe ends, whatever we died of, it kills what is left. That reaches the children of a shell too,
and a program that is busy, on Linux and macOS alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator

_GUARDIAN = """
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


class Guardian:
    """Knows which process groups to end; without `watching` around it, it does nothing."""

    def __init__(self) -> None:
        self._pipe: asyncio.StreamWriter | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Run the guardian inside the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _GUARDIAN),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._pipe = process.stdin
        try:
            yield
        finally:
            self._pipe = None
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()

    @contextlib.contextmanager
    def over(self, group: int) -> Iterator[None]:
        """Let this process group be ended with us inside the block."""
        self._say(f"+{group}")
        try:
            yield
        finally:
            self._say(f"-{group}")

    def _say(self, line: str) -> None:
        if self._pipe is not None:
            self._pipe.write(f"{line}\n".encode())
