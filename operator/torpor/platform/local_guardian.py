"""Ends local processes when this process can no longer do it: after SIGKILL, or a crash.

A small process of its own knows the process groups that run, over a pipe that only we hold. When
the pipe ends, whatever we died of, it kills what is left. That reaches the children of a shell too,
and a program that is busy, on Linux and macOS alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Iterator

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.1
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
        self._groups: set[int] = set()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Run the guardian inside the block; one that ends is replaced."""
        keeper = asyncio.create_task(self._keep(await self._started()), name="guardian")
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait((keeper,))

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        try:
            while True:
                await process.wait()
                self._pipe = None
                log.warning("the functions' guardian ended: another one takes over")
                await asyncio.sleep(_PAUSE_SECONDS)
                process = await self._started()
        finally:
            self._pipe = None
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _GUARDIAN),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._pipe = process.stdin
        for group in self._groups:
            self._say(f"+{group}")
        return process

    @contextlib.contextmanager
    def over(self, group: int) -> Iterator[None]:
        """Let this process group be ended with us inside the block."""
        self._groups.add(group)
        self._say(f"+{group}")
        try:
            yield
        finally:
            self._groups.discard(group)
            self._say(f"-{group}")

    def _say(self, line: str) -> None:
        if self._pipe is not None:
            self._pipe.write(f"{line}\n".encode())
