"""Running ffmpeg and ffprobe: lines read as they come, hangs ended, whole process groups killed.

ffmpeg is started in a session of its own, because a signal to our group must be our decision: it
answers SIGTERM with a valid, truncated file. It dies with this process (PR_SET_PDEATHSIG, set by
setpriv where that is installed).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
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


_NOT_RUN = frozenset((126, 127))
"""A shell's codes, the loader's, and setpriv's, for what cannot be started."""
_NO_MEMORY = "Cannot allocate memory"
_NOISE = re.compile(r" @ 0x[0-9a-f]+|^Last message repeated .*")
"""Addresses in memory, and what says nothing without the line before."""


class Stalled(TorporError):
    """A program made no progress for its time and was killed."""

    code = "stalled"


class Died(TorporError):
    """A program was killed, crashed or could not be started: that tells nothing of its input."""

    code = "program-died"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its return code, and the last lines that it wrote to stderr."""

    code: int
    complaint: tuple[str, ...]

    @property
    def reason(self) -> str:
        """What the user is told: the last thing it said, else the code."""
        return self.complaint[-1] if self.complaint else f"return code {self.code}"

    @property
    def has_died(self) -> bool:
        """Whether it ended by what is no fault of its input: a signal, no memory, no program."""
        no_memory = self.code != 0 and any(_NO_MEMORY in line for line in self.complaint)
        return self.code < 0 or self.code in _NOT_RUN or no_memory


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

    Raises Stalled when `advance` stands still for `stall_seconds`, and Died. Cancelled, it kills
    the program and all that it started.
    """
    complaint: deque[str] = deque(maxlen=_COMPLAINT_LINES)

    def complain(line: str) -> None:
        if said := _NOISE.sub("", line):
            complaint.append(said)

    name = os.path.basename(argv[0])
    async with _started(argv, pass_fds) as process:
        assert process.stdout
        assert process.stderr
        readers = {
            asyncio.create_task(_lines(process.stdout, on_line), name=f"{name} stdout"),
            asyncio.create_task(_lines(process.stderr, complain), name=f"{name} stderr"),
        }
        try:
            await _read(readers, name, advance, stall_seconds)
            code = await asyncio.wait_for(process.wait(), _ENDING_SECONDS)
        finally:
            for reader in readers:
                reader.cancel()
    ended = Ended(code, tuple(complaint))
    if ended.has_died:
        raise Died(_how(name, ended))
    return ended


def _how(name: str, ended: Ended) -> str:
    if ended.code >= 0:
        return f"{name} cannot do its work here: {ended.reason}"
    number = -ended.code
    known = number in {each.value for each in signal.Signals}
    by = signal.Signals(number).name if known else f"signal {number}"
    said = f", and said: {ended.reason}" if ended.complaint else ""
    hint = "; SIGKILL is often a lack of memory" if number == signal.SIGKILL else ""
    return f"{name} was ended by {by}{said}{hint}"


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
