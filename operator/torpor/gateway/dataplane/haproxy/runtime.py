"""HAProxy's runtime API over one lasting connection in prompt mode.

Commands are sent many to a line; HAProxy answers each on its own and then shows the prompt. Any
failure of the connection, or silence, is a DataPlaneError, and the next call connects anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from torpor.errors import DataPlaneError

_PROMPT = b"\n> "
_LINE_BYTES = 4000
"""HAProxy reads a line into one buffer of 16 KiB; a long answer is no matter."""
_ANSWER_BYTES = 64 * 2**20
_TIMEOUT_SECONDS = 5.0


class RuntimeSocket:
    """A client for one task at a time; concurrent calls wait for one another."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, commands: Sequence[str]) -> list[str]:
        """Return the answer to each command, in order; DataPlaneError when HAProxy is away."""
        async with self._lock:
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    return await self._run(commands)
            except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as error:
                self.close()
                raise DataPlaneError(f"HAProxy's runtime socket failed: {error!r}") from error
            except asyncio.CancelledError:
                # Answers that nobody read would be taken for those of the next command.
                self.close()
                raise

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _run(self, commands: Sequence[str]) -> list[str]:
        reader, writer = self._streams or await self._connect()
        answers: list[str] = []
        for line, count in lines_of(commands):
            writer.write(line)
            await writer.drain()
            for _ in range(count):
                answer = await reader.readuntil(_PROMPT)
                answers.append(answer.removesuffix(_PROMPT).decode().strip("\n"))
        return answers

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=_ANSWER_BYTES)
        self._streams = reader, writer
        writer.write(b"prompt\n")
        await reader.readuntil(_PROMPT)
        return reader, writer


def lines_of(commands: Sequence[str]) -> list[tuple[bytes, int]]:
    """Return the lines that carry all commands, each with how many answers it brings."""
    lines: list[tuple[bytes, int]] = []
    batch: list[str] = []
    size = 0
    for command in commands:
        if batch and size + len(command) > _LINE_BYTES:
            lines.append((_line(batch), len(batch)))
            batch, size = [], 0
        batch.append(command)
        size += len(command) + 1
    if batch:
        lines.append((_line(batch), len(batch)))
    return lines


def _line(batch: list[str]) -> bytes:
    return ";".join(batch).encode() + b"\n"
