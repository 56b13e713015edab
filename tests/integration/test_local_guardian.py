"""What runs for `torpor dev` ends with it, even when its guardian was killed before."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, sys
from torpor.platform.local_guardian import Guardian

class Told(Guardian):
    async def _started(self):
        process = await super()._started()
        print(process.pid, flush=True)
        return process

async def main():
    guardian = Told()
    async with guardian.watching():
        command, stdin = guardian.guarded(("sleep", "300"))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=stdin, start_new_session=True
        )
        if sys.argv[1] == "early":
            while open(f"/proc/{process.pid}/comm").read() != "sleep\\n":
                await asyncio.sleep(0)
            print(process.pid, flush=True)
            await process.wait()
        with guardian.over(process.pid):
            print(process.pid, flush=True)
            await process.wait()

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize(("moment", "guardians_killed"), [("early", 0), ("late", 0), ("late", 2)])
async def test_what_is_guarded_ends_with_whoever_is_killed(
    moment: str, guardians_killed: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, moment), stdout=asyncio.subprocess.PIPE
    )
    guarded = 0
    try:
        async with asyncio.timeout(20):
            assert process.stdout
            guardian = int(await process.stdout.readline())
            guarded = int(await process.stdout.readline())
            for _ in range(guardians_killed):
                os.kill(guardian, signal.SIGKILL)
                guardian = int(await process.stdout.readline())
            assert is_alive(guarded)
            process.kill()
            await process.wait()
            while is_alive(guarded):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        if guarded and is_alive(guarded):
            os.kill(guarded, signal.SIGKILL)
