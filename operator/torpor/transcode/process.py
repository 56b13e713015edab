"""Running ffmpeg and ffprobe: lines read as they come, hangs ended, whole process groups killed.

ffmpeg is started in a session of its own, because a signal to our group must be our decision: it
answers SIGTERM with a valid, truncated file. It dies with this process (PR_SET_PDEATHSIG, set by
setpriv where that is installed).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from torpor.errors import TorporError

STALL_SECONDS = 300.0
"""How long ffmpeg may show no new frame: a seek that decodes a long way also shows none."""
_WATCH_SECONDS = 0.5
_COMPLAINT_LINES = 20
_LINE_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 16
_ENDING_SECONDS = 10.0
_QUIET = {"SVT_LOG": "1"}
"""SVT-AV1 tells its settings on stderr, whatever ffmpeg is told, unless it is to tell errors only.
"""


class Stalled(TorporError):
    """A program made no progress for its time and was killed."""

    code = "stalled"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its return code, and the last lines that it wrote to stderr."""

    code: int
    complaint: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What the user is told: the last thing it said, else the code."""
        return self.complaint[-1] if self.complaint else f"return code {self.code}"


@dataclass(slots=True)
class Advance:
    """When a program last made progress; `mark` is whatever must change for it to count."""

    clock: Callable[[], float] = time.monotonic
    mark: object = None
    seen: float = field(default=0.0)

    def __post_init__(self) -> None:
        self.seen = self.clock()

    def at(self, mark: object) -> None:
        """Note where the program is now."""
        if mark != self.mark:
            self.mark, self.seen = mark, self.clock()

    @property
    def still_seconds(self) -> float:
        """How long it has been there."""
        return self.clock() - self.seen


async def run(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    advance: Advance,
    stall_seconds: float = STALL_SECONDS,
    pass_fds: Sequence[int] = (),
) -> Ended:
    """Run `argv` to its end, giving each line of its stdout to `on_line`.

    Raises Stalled when `advance` stands still for `stall_seconds`. Cancelled, it kills the program
    and all that it started.
    """
    complaint: deque[str] = deque(maxlen=_COMPLAINT_LINES)
    name = os.path.basename(argv[0])
    async with _started(argv, pass_fds) as process:
        assert process.stdout
        assert process.stderr
        readers = {
            asyncio.create_task(_lines(process.stdout, on_line), name=f"{name} stdout"),
            asyncio.create_task(_lines(process.stderr, complaint.append), name=f"{name} stderr"),
        }
        try:
            await _read(readers, name, advance, stall_seconds)
            code = await asyncio.wait_for(process.wait(), _ENDING_SECONDS)
        finally:
            for reader in readers:
                reader.cancel()
    return Ended(code, tuple(complaint))


async def _read(
    readers: set[asyncio.Task[None]], name: str, advance: Advance, stall_seconds: float
) -> None:
    """Wait for both streams' ends, for as long as the program advances."""
    waiting = readers
    while waiting:
        ended, waiting = await asyncio.wait(waiting, timeout=_WATCH_SECONDS)
        for reader in ended:
            reader.result()
        if waiting and advance.still_seconds >= stall_seconds:
            raise Stalled(f"{name} made no progress for {stall_seconds:.0f} s and was killed")


async def _lines(stream: asyncio.StreamReader, take: Callable[[str], None]) -> None:
    """Give whole lines; ffmpeg ends some by CR, and a line without end is cut."""
    rest = b""
    while chunk := await stream.read(_CHUNK_BYTES):
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            if line.strip():
                take(line.decode(errors="replace").strip())
        rest = rest[-_LINE_BYTES:]
    if rest.strip():
        take(rest.decode(errors="replace").strip())


@contextlib.asynccontextmanager
async def _started(
    argv: Sequence[str], pass_fds: Sequence[int]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *_tied(argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        pass_fds=pass_fds,
        env={**os.environ, **_QUIET},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await asyncio.wait_for(process.wait(), _ENDING_SECONDS)


def _tied(argv: Sequence[str]) -> list[str]:
    setpriv = shutil.which("setpriv")
    tied = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return [*tied, *argv]
