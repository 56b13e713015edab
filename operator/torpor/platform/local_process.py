"""One local process of a Function from its start to its end: what a pod and its kubelet are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from torpor.platform.base import Instance, Trouble
from torpor.platform.ending import Ending
from torpor.platform.local_guardian import Guardian
from torpor.platform.local_output import Output
from torpor.platform.local_ports import listens
from torpor.platform.local_program import Program
from torpor.platform.local_spawn import end, send, spawn, told

log = logging.getLogger(__name__)

_PROBE_SECONDS = 0.02
_UNLISTED_SECONDS = 0.3  # for the gateway to stop sending, as preStop does in a pod
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_HEALTHY_SECONDS = 10.0
_FINAL_CRASHES = 2
_LAST_GRACE_SECONDS = 3.0
_LOG_SECONDS = 1.0


class LocalProcess:
    """Runs a Program, again after each crash and then on another port, until `stop` is called.

    `changed` is called after each change of `instance()`; `clock` is monotonic, in seconds;
    `environment` is what it has besides what its Function says.
    """

    def __init__(
        self,
        program: Program,
        name: str,
        folder: Path,
        *,
        detail_token: str,
        choose_port: Callable[[], int],
        guardian: Guardian,
        changed: Callable[[], None],
        clock: Callable[[], float],
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.port = 0
        self.revision = program.revision
        self.ready = False
        self.terminating = False
        self._program = program
        self._code = folder / "code" / program.revision
        self._output = Output(folder / "logs" / f"{name}.log", folder / "logs" / f"{name}.end")
        self._detail_token = detail_token
        self._choose_port = choose_port
        self._guardian = guardian
        self._changed = changed
        self._clock = clock
        self._around = environment
        self._stopping = asyncio.Event()
        self._seen = {"created": clock(), "scheduled": clock()}
        self._trouble: Trouble | None = None
        self._crashes = 0
        self._told = ""
        self._process: asyncio.subprocess.Process | None = None
        self._killed = False

    def instance(self) -> Instance:
        """Return the process as the rest of Torpor sees it."""
        return Instance(
            function=self._program.function.key,
            name=self.name,
            uid=self.name,
            # Told only once it is proven to be ours, so that nobody tries it before.
            address="127.0.0.1" if "ready" in self._seen else None,
            port=self.port,
            ready=self.ready,
            terminating=self.terminating,
            trouble=self._trouble,
            seen=dict(self._seen),
        )

    def stop(self) -> None:
        """Ask for the end: SIGTERM, then the time a request may take, then SIGKILL."""
        if self.terminating:
            return
        self.terminating = True
        self._stopping.set()
        self._changed()

    def kill(self) -> None:
        """End it now, without a chance to finish what it does."""
        self._killed = True
        self.stop()
        if self._process is not None:
            send(self._process, signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it and all that it started; what dies of it is started again."""
        if self._process is not None:
            send(self._process, number)

    async def run(self) -> None:
        """Start it, and again after a crash with growing pauses; return once it was stopped."""
        while not self.terminating:
            began = self._clock()
            ending = await self._live()
            self.ready = False
            if self.terminating:
                return
            self._crashed(ending, self._clock() - began)
            await self._pause()

    async def _live(self) -> Ending:
        try:
            self._process = process = await self._spawn()
        except (OSError, ValueError) as error:
            return Ending("its process cannot be started", told(error))
        if self._killed:
            send(process, signal.SIGKILL)
        self._seen["started"] = self._clock()
        self._changed()
        with self._guardian.over(process.pid):
            try:
                await self._attend(process)
            finally:
                await end(process, _LAST_GRACE_SECONDS)
                self._process = None
        return self._output.ending(process.returncode)

    async def _attend(self, process: asyncio.subprocess.Process) -> None:
        async with asyncio.TaskGroup() as tasks:
            probe = tasks.create_task(self._probe(process.pid), name=f"probe {self.name}")
            reaper = tasks.create_task(self._end(process), name=f"reaper {self.name}")
            keeper = tasks.create_task(self._keep_log_small(), name=f"log {self.name}")
            await process.wait()
            for task in (probe, reaper, keeper):
                task.cancel()

    async def _spawn(self) -> asyncio.subprocess.Process:
        self.port = self._choose_port()
        await asyncio.to_thread(self._write_files)
        return await spawn(
            self._program.command(),
            self._environment(),
            self._code,
            self._output.log,
            self._guardian,
        )

    def _write_files(self) -> None:
        self._program.write_files(self._code)
        self._output.log.parent.mkdir(parents=True, exist_ok=True)
        self._output.last_words.unlink(missing_ok=True)

    def _environment(self) -> dict[str, str]:
        found = self._program.environment(self.port, self._code, self._output.last_words)
        return {**self._around, **found, "TORPOR_DETAIL_TOKEN": self._detail_token}

    async def _probe(self, leader: int) -> None:
        while not (await _accepts(self.port) and listens(leader, self.port)):  # noqa: ASYNC110
            await asyncio.sleep(_PROBE_SECONDS)
        self.ready = True
        self._trouble = None
        self._seen["ready"] = self._clock()
        self._changed()

    async def _keep_log_small(self) -> None:
        try:
            while True:
                await asyncio.sleep(_LOG_SECONDS)
                await asyncio.to_thread(self._output.keep_small)
        except OSError as error:  # such as a full disk
            log.warning("%s: its log is no longer kept small: %s", self.name, told(error))

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        await asyncio.sleep(_UNLISTED_SECONDS)
        send(process, signal.SIGTERM)
        await asyncio.sleep(self._program.function.timeout_seconds + 5)
        send(process, signal.SIGKILL)

    def _crashed(self, ending: Ending, lived_seconds: float) -> None:
        self._crashes = 1 if lived_seconds >= _HEALTHY_SECONDS else self._crashes + 1
        final = self._crashes >= _FINAL_CRASHES and "ready" not in self._seen
        problem, reason = ending.in_full, "CrashLoopBackOff" if final else "Error"
        self._trouble = Trouble(reason, problem, final, ending.public)
        if problem != self._told:
            self._told = problem
            log.warning("%s: %s\n%s", self.name, problem, self._output.excerpt())
        self._seen.pop("started", None)
        self._seen.pop("ready", None)
        self._changed()

    async def _pause(self) -> None:
        seconds = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self._crashes - 1))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
