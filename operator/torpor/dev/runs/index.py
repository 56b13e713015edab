"""One index of a local run: its processes, one after the other, each with what a pod has."""

from __future__ import annotations

import asyncio
import logging
import shutil
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from torpor.dev.runs.ends import After, exit_code, judge, why
from torpor.dev.runs.progress import ask
from torpor.dev.runs.record import (
    CODE,
    LOG,
    IndexRecord,
    IndexState,
    RunRecord,
    input_file,
)
from torpor.functions.runs import words
from torpor.functions.runs.words import EXIT_BAD_INPUT
from torpor.platform.local_guardian import Guardian
from torpor.platform.local_output import Output, opened
from torpor.platform.local_ports import choose_port
from torpor.platform.local_program import TERMINATION_LOG, passed_on
from torpor.platform.local_spawn import end, send, spawn, told
from torpor.resources.run import MAX_RESULT_BYTES
from torpor.telemetry.metrics import RUN_POD_SECONDS

log = logging.getLogger(__name__)

_CANNOT_START = 127
"""As a shell says it."""
_PROGRESS_SECONDS = 1.0
_FIRST_LOOK_SECONDS = 0.125
"""Then twice as long each time, so that a run of a second is seen at work, too."""
_MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Pauses:
    """Before an index is started again; grows with each end."""

    first_seconds: float = 1.0
    longest_seconds: float = 60.0

    def after(self, ends: int) -> float:
        """Return the pause after so many ends."""
        grown: float = self.first_seconds * 2 ** min(max(0, ends - 1), _MOST_DOUBLINGS)
        return min(self.longest_seconds, grown)


@dataclass(frozen=True, slots=True)
class Around:
    """What indexes need of their surroundings; `clock` is monotonic."""

    guardian: Guardian
    clock: Callable[[], float]
    pauses: Pauses
    ports: set[int]
    """Those that indexes have now."""


class LocalIndex:
    """Runs one index until it succeeded or failed; `stop` has its program told to end."""

    def __init__(
        self,
        run: RunRecord,
        number: int,
        folder: Path,
        around: Around,
        changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._run = run
        self._number = number
        self._folder = folder
        self._around = around
        self._changed = changed
        self._stopping = asyncio.Event()
        self._killed = False
        self._obstacle = ""
        self._ends = 0
        self._process: asyncio.subprocess.Process | None = None
        self._output = Output(folder / LOG.format(number), folder / f"index-{number}.termination")

    @property
    def record(self) -> IndexRecord:
        """How the index stands."""
        return self._run.indexes[self._number]

    def stop(self) -> None:
        """Ask for the end: SIGTERM, then the grace, then SIGKILL; it is not started again."""
        self._stopping.set()

    def kill(self) -> None:
        """End it now."""
        self._killed = True
        self.stop()
        if self._process is not None:
            send(self._process, signal.SIGKILL)

    def crash(self) -> bool:
        """Kill its process as a node that dies does; False if there is none at this moment."""
        if self._process is None or self._process.returncode is not None:
            return False
        send(self._process, signal.SIGKILL)
        return True

    async def run(self) -> None:
        """Return when it succeeded, failed, or was stopped; then it waits again."""
        while not self._stopping.is_set():
            await self._is(IndexState.ACTIVE)
            code = await self._live()
            after = judge(code, self.record.failures, self._run.launch.retries_per_index)
            if after is After.SUCCEEDED:
                await self._succeeded()
                return
            if self._stopping.is_set() and code != EXIT_BAD_INPUT:
                break
            await self._failed(code, after)
            if after is After.FAILED:
                await self._is(IndexState.FAILED)
                return
            await self._is(IndexState.WAITING)
            await self._pause()
        await self._is(IndexState.WAITING)

    async def _is(self, state: IndexState) -> None:
        self.record.state = state
        await self._changed()

    async def _succeeded(self) -> None:
        left = await asyncio.to_thread(self._left)
        self.record.cut = words.is_cut(left)
        self.record.result = None if self.record.cut else words.result_of(left)
        await self._is(IndexState.SUCCEEDED)

    async def _failed(self, code: int, after: After) -> None:
        record = self.record
        left = await asyncio.to_thread(self._left)
        record.exit_code = code
        record.message = self._obstacle or await asyncio.to_thread(why, code, left, self._output)
        self._ends += 1
        if after is not After.ANEW:
            record.failures += 1
        log.warning(
            "run %s, index %d: %s\n%s",
            self._run.id,
            self._number,
            record.message,
            await asyncio.to_thread(self._output.excerpt),
        )

    async def _live(self) -> int:
        """Return the exit code of one process as Kubernetes would tell it."""
        began, code = self._around.clock(), _CANNOT_START
        try:
            with self._port() as port:
                self._obstacle = ""
                self._process = process = await self._spawn(port)
                code = await self._lived(process, port)
                return code
        except (OSError, ValueError) as error:
            self._obstacle = f"its process cannot be started: {told(error)}"
            return code
        finally:
            self._count(code, self._around.clock() - began)

    def _count(self, code: int, seconds: float) -> None:
        self._run.pod_seconds += seconds
        key, outcome = self._run.key, "lost" if code else "succeeded"
        RUN_POD_SECONDS.labels(key.namespace, key.name, outcome).inc(seconds)

    @contextmanager
    def _port(self) -> Iterator[int]:
        """Have a port for the program's progress inside the block; OSError if none is free."""
        ports = self._around.ports
        port = choose_port(ports)
        ports.add(port)
        try:
            yield port
        finally:
            ports.discard(port)

    async def _lived(self, process: asyncio.subprocess.Process, port: int) -> int:
        if self._killed:
            send(process, signal.SIGKILL)
        with self._around.guardian.over(process.pid):
            try:
                await self._attend(process, port)
            finally:
                await end(process, self._run.launch.grace_seconds)
                self._process = None
        return exit_code(process.returncode or 0)

    async def _attend(self, process: asyncio.subprocess.Process, port: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            name = f"{self._run.id} {self._number}"
            looking = tasks.create_task(self._look(port), name=f"progress {name}")
            reaper = tasks.create_task(self._end(process), name=f"reaper {name}")
            await process.wait()
            for task in (looking, reaper):
                task.cancel()

    async def _look(self, port: int) -> None:
        pause = _FIRST_LOOK_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = min(_PROGRESS_SECONDS, 2 * pause)
            with suppress(OSError):  # a full disk: the log is longer then
                await asyncio.to_thread(self._output.keep_small)
            found = await ask(port)
            if found is not None and found != self._run.progress.get(self._number):
                self._run.progress[self._number] = found

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        await end(process, self._run.launch.grace_seconds)

    async def _spawn(self, port: int) -> asyncio.subprocess.Process:
        await asyncio.to_thread(self._clear)
        launch = self._run.launch
        environment = {
            **passed_on(),
            **launch.environment,
            "TORPOR_RUN_ID": self._run.id,
            "TORPOR_INPUT": str(input_file(self._folder)),
            "TORPOR_OUTPUT": str(self._result_file),
            "TORPOR_COMPLETIONS": str(launch.completions),
            "TORPOR_PROGRESS_PORT": str(port),
            "TORPOR_GRACE_SECONDS": f"{launch.grace_seconds:g}",
            "TORPOR_FAILURES": str(self.record.failures),
            "JOB_COMPLETION_INDEX": str(self._number),
            TERMINATION_LOG: str(self._output.last_words),
        }
        place = self._folder / CODE
        return await spawn(
            launch.command, environment, place, self._output.log, self._around.guardian
        )

    @property
    def _result_file(self) -> Path:
        return self._folder / f"index-{self._number}.output"

    def _clear(self) -> None:
        """Put an empty file for the result in the place of what the last process left there."""
        for file in (self._result_file, self._output.last_words):
            if file.is_dir() and not file.is_symlink():
                shutil.rmtree(file)
            file.unlink(missing_ok=True)
        self._result_file.touch(exist_ok=False)

    def _left(self) -> str:
        """Return what the program left, cut as Kubernetes cuts a termination message."""
        try:
            with opened(self._result_file) as source:
                return source.read(MAX_RESULT_BYTES).decode(errors="replace")
        except OSError as error:  # the program may have put anything there
            log.warning(
                "run %s, index %d: it left no result: %s", self._run.id, self._number, error
            )
            return ""

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._around.pauses.after(self._ends)):
                await self._stopping.wait()
        except TimeoutError:
            return
