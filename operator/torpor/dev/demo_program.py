"""Runs the demo that a folder brings: a program of its own, beside the run that it shows.

It finds the APIs in its environment under the names that the commands read, so that the same
program shows the same folder on a cluster.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

PROGRAM = "demo.py"
_LAST_SECONDS = 5.0
"""Between the request to end and the end."""
_ENDED_BY_SIGNAL = 128
"""A shell adds it to the number of the signal that ended a program."""


async def run_program(program: Path, addresses: Mapping[str, str]) -> int:
    """Run it with our terminal until it ends, and return its exit status.

    Cancelled, it is told to end, and ended if it does not.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(program),
        env=_environment(addresses),
        start_new_session=True,  # a Ctrl-C is ours to handle
    )
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    return status if status >= 0 else _ENDED_BY_SIGNAL - status


def _environment(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return ours with these addresses alone: others would have it show another installation."""
    ours = {name: value for name, value in os.environ.items() if name not in addresses}
    return {**ours, **{name: url for name, url in addresses.items() if url}}


async def _end(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_LAST_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
