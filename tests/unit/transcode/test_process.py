"""Programs that are run: read to the end, ended when they hang, never left behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from torpor.transcode.process import Advance, Died, Ended, Stalled, run

_LONG_SECONDS = 30.0


async def ran(script: str, lines: list[str], stall_seconds: float = _LONG_SECONDS) -> Ended:
    advance = Advance()

    def take(line: str) -> None:
        lines.append(line)
        advance.at(line)

    return await run(["sh", "-c", script], take, advance, stall_seconds)


def is_alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def gone(pids: Sequence[int], within_seconds: float = 5.0) -> bool:
    return await asyncio.to_thread(_gone, pids, within_seconds)


def _gone(pids: Sequence[int], within_seconds: float) -> bool:
    deadline = time.monotonic() + within_seconds
    while any(is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(is_alive(pid) for pid in pids)


async def test_lines_code_and_the_last_words_are_kept() -> None:
    lines: list[str] = []
    ended = await ran("printf 'a\\r\\nb\\n\\nc'; echo first >&2; echo last >&2; exit 3", lines)
    assert lines == ["a", "b", "c"]
    assert (ended.code, ended.reason) == (3, "last")


async def test_a_complaint_is_without_addresses_and_counts() -> None:
    said = "'[h264 @ 0x7feb5b66c040] broken\\n    Last message repeated 2 times\\n'"
    assert (await ran(f"printf {said} >&2; exit 1", [])).complaint == ("[h264] broken",)


@pytest.mark.parametrize(
    ("script", "how"),
    [
        ("kill -9 $$", "sh was ended by SIGKILL; SIGKILL is often a lack of memory"),
        ("echo lost >&2; kill -11 $$", "sh was ended by SIGSEGV, and said: lost"),
        ("no-such-program", "sh cannot do its work here: .*no-such-program: not found"),
        ("echo x: Cannot allocate memory >&2; exit 1", "sh cannot do its work here: x: Cannot"),
    ],
)
async def test_a_program_that_died_is_told_apart_from_one_that_refused(
    script: str, how: str
) -> None:
    with pytest.raises(Died, match=how):
        await ran(script, [])


async def test_much_on_stderr_neither_blocks_nor_grows() -> None:
    ended = await ran("yes complaint | head -c 4000000 >&2", [])
    assert ended.code == 0
    assert len(ended.complaint) == 20


async def test_a_program_that_hangs_is_killed_with_its_children() -> None:
    lines: list[str] = []
    with pytest.raises(Stalled, match="no progress"):
        await ran("sleep 60 & echo $! $$; wait", lines, stall_seconds=0.6)
    assert await gone([int(pid) for pid in lines[0].split()])


async def test_cancelling_kills_the_program_and_its_children() -> None:
    lines: asyncio.Queue[str] = asyncio.Queue()
    script = "sleep 60 & echo $! $$; wait"
    task = asyncio.create_task(run(["sh", "-c", script], lines.put_nowait, Advance()))
    line = await asyncio.wait_for(lines.get(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone([int(pid) for pid in line.split()])


_WORKER = """
import asyncio
from torpor.transcode.process import Advance, run
say = lambda line: print(line, flush=True)
asyncio.run(run(["sh", "-c", "echo $$; exec sleep 60"], say, Advance()))
"""


async def test_a_program_dies_with_its_worker() -> None:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WORKER, stdout=asyncio.subprocess.PIPE
    )
    assert worker.stdout
    child = int(await asyncio.wait_for(worker.stdout.readline(), 30))
    assert is_alive(child)
    worker.kill()
    await worker.wait()
    assert await gone([child])
