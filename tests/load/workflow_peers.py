"""Peers from PyPI, each in a Python environment of its own that the bench makes at its first use.

They are never dependencies of the project: their environments are in ~/.cache/torpor/bench-peer.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = Path.home() / ".cache" / "torpor" / "bench-peer"
SCRIPTS = Path(__file__).parent / "peers"
INSTALL_SECONDS = 600.0
ANSWER_SECONDS = 300.0


class PeerAway(Exception):
    """A peer cannot be installed or does not run here; the message says why."""


@dataclass(frozen=True)
class Package:
    """What is installed for a peer, and the oldest Python that runs it."""

    name: str
    requirements: tuple[str, ...]
    python: tuple[int, int] = (3, 11)


DBOS = Package("dbos", ("dbos==3.4.0", "psycopg[binary]"))
LOCALSTACK = Package(
    "localstack",
    (
        "localstack-core==4.14.0",
        "antlr4-python3-runtime==4.13.2",
        "boto3",
        "jpype1",
        "jsonpatch",
        "jsonpath-ng",
        "jsonpath-rw",
        "moto",
        "pydantic",
        "rolo",
    ),
    (3, 13),
)


@dataclass(frozen=True)
class Peer:
    """A peer's process that answers a line of JSON to a line of JSON."""

    name: str
    process: asyncio.subprocess.Process

    async def ask(self, **command: Any) -> Any:
        """Its answer; raises PeerAway when it ended instead."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()
        return await self.answer()

    async def answer(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self.process.stdout.readline()
        if not line:
            raise PeerAway(f"{self.name} ended: see {log_of(self.name)}")
        return json.loads(line)


@asynccontextmanager
async def started(package: Package, *arguments: str) -> AsyncIterator[Peer]:
    """A peer's process, ready; raises PeerAway."""
    python = await asyncio.to_thread(installed, package)
    with log_of(package.name).open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(SCRIPTS / f"{package.name}_peer.py"),
            *arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            limit=64 << 20,
        )
    try:
        peer = Peer(package.name, process)
        ready = await peer.answer()
        print(f"peer {package.requirements[0]} on Python {ready['python']}", flush=True)
        yield peer
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(10):
            _ = await process.wait()
    except TimeoutError:
        process.kill()
        _ = await process.wait()


def log_of(name: str) -> Path:
    """What a peer said on its standard error."""
    return HOME / f"{name}.log"


def installed(package: Package) -> Path:
    """The Python of the peer's environment, made now if need be; raises PeerAway."""
    python = HOME / package.name / "bin" / "python"
    done = HOME / package.name / "requirements"
    wanted = "\n".join(package.requirements)
    if not done.exists() or done.read_text() != wanted:
        HOME.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(HOME / package.name, ignore_errors=True)
        _run(package, [_interpreter(package), "-m", "venv", str(HOME / package.name)])
        _run(package, [str(python), "-m", "pip", "install", "-q", *package.requirements])
        done.write_text(wanted)
    return python


def _run(package: Package, command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerAway(f"{package.name} cannot be installed: {error}") from error
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise PeerAway(f"{package.name} cannot be installed: {' '.join(last)}")


def _interpreter(package: Package) -> str:
    """A Python that is new enough: this one, one on the PATH, or one of pyenv's."""
    if sys.version_info[:2] >= package.python:
        return sys.executable
    named = [shutil.which(f"python3.{minor}") for minor in range(package.python[1], 20)]
    pyenv = [str(one) for one in Path.home().glob(".pyenv/versions/3.*/bin/python")]
    for python in filter(None, [*named, *pyenv]):
        if _version(python) >= package.python:
            return python
    wanted = ".".join(map(str, package.python))
    raise PeerAway(f"{package.name} needs Python {wanted}, and there is none")


def _version(python: str) -> tuple[int, ...]:
    words = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run(
        [python, "-c", words], capture_output=True, text=True, timeout=20, check=False
    )
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else ()
