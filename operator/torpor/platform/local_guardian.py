"""Ends local processes when this process can no longer do it: after SIGKILL, or a crash.

A small process of its own knows the process groups that run, over a pipe that only we hold. When
the pipe ends, whatever we died of, it kills what is left. That reaches the children of a shell too,
and a program that is busy, on Linux and macOS alike. Each process tells of itself before it becomes
its program: were we to tell of it once it runs, it would outlive us if we die in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence

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
_TELL_AND_BECOME = 'echo "+$$" >&0; exec "$@" </dev/null'


class Guardian:
    """Knows which process groups to end; without `watching` around it, it does nothing."""

    def __init__(self) -> None:
        self._reading = self._writing = -1
        self._groups: set[int] = set()
        self._users = 0
        self._keeper: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Run the guardian inside the block; one that ends is replaced.

        Several may use it: it runs until the last of their blocks ends.
        """
        self._users += 1
        try:
            if self._users == 1:
                self._reading, self._writing = os.pipe()
                keeping = self._keep(await self._started())
                self._keeper = asyncio.create_task(keeping, name="guardian")
            yield
        finally:
            self._users -= 1
            if not self._users and self._keeper is not None:
                self._keeper.cancel()
                await asyncio.wait((self._keeper,))
                os.close(self._reading)

    def guarded(self, command: Sequence[str]) -> tuple[tuple[str, ...], int]:
        """Return how to start `command` so that it is known from its first moment, and its stdin.

        To be started with this as its standard input, as the leader of a session; the program
        itself reads an empty one.
        """
        if self._writing < 0:
            return tuple(command), asyncio.subprocess.DEVNULL
        return ("/bin/sh", "-c", _TELL_AND_BECOME, "sh", *command), self._writing

    async def _keep(self, process: asyncio.subprocess.Process) -> None:
        try:
            while True:
                await process.wait()
                log.warning("the functions' guardian ended: another one takes over")
                await asyncio.sleep(_PAUSE_SECONDS)
                process = await self._started()
        finally:
            os.close(self._writing)
            self._writing = -1
            await process.wait()

    async def _started(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", "-c", _GUARDIAN),
            stdin=self._reading,
            start_new_session=True,
        )
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
        if self._writing >= 0:
            os.write(self._writing, f"{line}\n".encode())
