"""Starts the runtimes as real processes for tests; what both promise is tested in both."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_NODE_MAIN = Path(__file__).parents[2] / "images/runtime-node/torpor_runtime/main.js"


@dataclass(frozen=True)
class Language:
    """What starts the runtime of a language, and the file that it finds code in."""

    name: str
    command: tuple[str, ...]
    file: str


PYTHON = Language("python", (sys.executable, "-m", "torpor_runtime"), "main.py")
NODE = Language("node", ("node", str(_NODE_MAIN)), "main.js")
needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="there is no `node`: install Node.js 18 or newer"
)
in_both = pytest.mark.parametrize(
    "language", [PYTHON, pytest.param(NODE, marks=needs_node)], ids=lambda given: given.name
)
"""Runs a test with each runtime."""


@dataclass
class Runtime:
    process: asyncio.subprocess.Process
    port: int
    errors: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.errors.read_text().splitlines()]

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def spawn(
    folder: Path, handler: str, code: str, language: Language = PYTHON, **extra: str
) -> Runtime:
    port = free_port()
    (folder / language.file).write_text(code)
    errors = folder / f"stderr-{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "TORPOR_BIND": "127.0.0.1",
        "TORPOR_HANDLER": handler,
        "TORPOR_CODE_DIR": str(folder),
        "TORPOR_FUNCTION": "shop/echo",
        "TORPOR_TERMINATION_LOG": str(folder / "termination"),
        **extra,
    }
    with errors.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *language.command, env=environment, stderr=stream
        )
    return Runtime(process, port, errors)


@asynccontextmanager
async def running(
    folder: Path, handler: str, code: str, language: Language = PYTHON, **extra: str
) -> AsyncIterator[Runtime]:
    """Yield a runtime that listens; it is killed afterwards."""
    runtime = await spawn(folder, handler, code, language, **extra)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", runtime.port)
                except OSError:
                    await asyncio.sleep(0.01)
                    continue
                writer.close()
                break
        yield runtime
    finally:
        if runtime.process.returncode is None:
            runtime.process.kill()
        await runtime.process.wait()
