"""The runs of `torpor dev`: started once for a key, told of, cancelled, and forgotten in the end.

A run outlives the session that started it, as a Job outlives the operator: when `torpor dev` ends,
its processes are told to stop, and the next one here starts the indexes that had not ended anew.
That uses up no attempt, and a program with a checkpoint goes on from it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType

from torpor.dev.runs.index import Around, Pauses
from torpor.dev.runs.live import LiveRun
from torpor.dev.runs.record import (
    CODE,
    LOG,
    IndexRecord,
    Launch,
    RunRecord,
    input_file,
    load,
    rfc3339,
    save,
)
from torpor.errors import UnknownFunction
from torpor.functions.runs.spans import traceparent_of
from torpor.functions.usage import tell_size
from torpor.gateway.runs.base import RunsAway
from torpor.platform.local_guardian import Guardian
from torpor.platform.local_program import Program
from torpor.resources.job import Job
from torpor.resources.names import FunctionKey
from torpor.resources.reserved import reserved
from torpor.resources.run import Run, RunRefused, RunRequest, check_inputs, run_id, unknown_run
from torpor.resources.run_details import RunDetails
from torpor.telemetry.tracing import Emit

log = logging.getLogger(__name__)

_SWEEP_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 1
_CUT = "torpor dev was ended while it ran; it went on at {}"


class LocalRuns:
    """Implements `Runs` below `folder`; `wall` is Unix time, `clock` monotonic, both in seconds."""

    def __init__(
        self,
        folder: Path,
        *,
        guardian: Guardian | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        pauses: Pauses = Pauses(),  # noqa: B008 - a frozen value
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`environment` is what programs have besides what their Functions say."""
        self.programs: Mapping[FunctionKey, Program] = {}
        """The Job Functions that can be invoked now; replaced when the folder changes."""
        self.addresses: Sequence[str] = ()
        """Where what programs may be told of is, such as the gateway; always in the same order."""
        self.ready = asyncio.Event()
        """The runs of earlier sessions are known, and others can be started."""
        self.emit: Emit | None = None
        """Where the span of a run goes that ends; None: nowhere."""
        self._folder = folder
        self._environment = environment
        self._wall = wall
        self._around = Around(guardian or Guardian(), clock, pauses, set())
        self._runs: dict[tuple[str, str], LiveRun] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._starting = asyncio.Lock()
        self._working: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Keep runs going until cancelled; all processes have ended when it returns."""
        async with self._around.guardian.watching(), asyncio.TaskGroup() as tasks:
            kept = await asyncio.to_thread(_kept, self._folder)
            self._tasks = tasks
            self._take_up(kept, tasks)
            self.ready.set()
            sweeping = tasks.create_task(self._sweep(), name="runs that ended")
            try:
                await asyncio.Event().wait()
            finally:
                sweeping.cancel()
                self.stop()
                if self._working:
                    await asyncio.wait(list(self._working))

    def stop(self) -> None:
        """Tell every program to end; no run is started any more, and who waits for one is told."""
        self._tasks = None
        for live in self._runs.values():
            live.stop()

    def kill(self) -> None:
        """End every process at once."""
        self._tasks = None
        for live in self._runs.values():
            live.kill()

    async def start(self, request: RunRequest) -> str:
        """Start the run, or find the one that there is under this key; return its id."""
        program = self.programs.get(request.key)
        job = program.function.job if program else None
        if program is None:
            raise UnknownFunction(f"there is no function {request.key}")
        if job is None:
            text = f"{request.key} is no Job Function: send it requests, or write workload: Job"
            raise RunRefused(HTTPStatus.CONFLICT, "not-a-job", text)
        function = program.function
        name = run_id(request.key, function.uid, request.idempotency_key)
        async with self._starting:
            if (request.key.namespace, name) not in self._runs:
                self._check_room(request.key, function.reserved_concurrency)
                await self._make(name, program, job, request)
        return name

    async def named(self, key: FunctionKey, idempotency_key: str) -> str:
        """Return the id of the run that there is under this key; UnknownRun if there is none."""
        program = self.programs.get(key)
        if program is None:
            raise UnknownFunction(f"there is no function {key}")
        return self._live(
            key.namespace, run_id(key, program.function.uid, idempotency_key)
        ).record.id

    async def find(self, namespace: str, run: str, wait_seconds: float) -> Run:
        """Return the run, at the latest after `wait_seconds`, sooner once it is final."""
        live = self._live(namespace, run)
        try:
            async with asyncio.timeout(wait_seconds):
                await live.over.wait()
        except TimeoutError:
            return live.record.view()
        return live.record.view()

    async def cancel(self, namespace: str, run: str) -> None:
        """Have the run end; nothing happens to one that has ended."""
        await self._live(namespace, run).cancel()

    def all(self) -> Iterator[Run]:
        """Yield the runs that are known, the latest first."""
        return (run for run, _ in self.traced())

    def traced(self) -> Iterator[tuple[Run, str]]:
        """Yield the same, each with the traceparent that it was started with, empty for none."""
        runs = sorted(self._runs.values(), key=lambda live: -live.record.created)
        for live in runs:
            yield live.record.view(), live.record.launch.environment.get("TRACEPARENT", "")

    async def details(self, namespace: str, run: str) -> RunDetails:
        """Return all that is known of a run; UnknownRun."""
        live = self._live(namespace, run)
        given = (await asyncio.to_thread(input_file(live.folder).read_bytes)).decode()
        return RunDetails(live.record.view(), tuple(live.record.attempts()), given)

    def under_way(self, namespace: str, name: str) -> LiveRun:
        """Return the run of that id, or the latest of that Function that goes on; UnknownRun."""
        if (namespace, name) in self._runs:
            return self._runs[namespace, name]
        key = FunctionKey(namespace, name)
        found = [
            live
            for live in self._runs.values()
            if live.record.key == key and not live.record.state.is_final
        ]
        if not found:
            raise unknown_run(namespace, name)
        return max(found, key=lambda live: live.record.created)

    def logs(self, namespace: str, run: str) -> Mapping[int, Path]:
        """Return the file with what each index wrote, of those that wrote; UnknownRun."""
        live = self._live(namespace, run)
        files = {n: live.folder / LOG.format(n) for n in range(len(live.record.indexes))}
        return {number: file for number, file in files.items() if file.exists()}

    async def _make(self, name: str, program: Program, job: Job, request: RunRequest) -> None:
        check_inputs(request.input, job.completions)
        tell_size(request.key, reserved(program.function))
        folder = self._folder / request.key.namespace / name
        indexes = [IndexRecord() for _ in range(job.completions)]
        try:
            launch = await asyncio.to_thread(
                _prepared, folder, program, job, request, name, self._environment
            )
            launch = replace(launch, addresses=tuple(self.addresses))
            record = RunRecord(name, request.key, launch, self._wall(), indexes)
            await asyncio.to_thread(save, record.saved(), folder)
        except OSError as error:
            raise RunsAway(f"the run cannot be kept: {error}") from error
        if self._tasks is None:
            raise RunsAway("torpor dev is ending")
        self._begin(record, folder, self._tasks)

    def _live(self, namespace: str, run: str) -> LiveRun:
        try:
            return self._runs[namespace, run]
        except KeyError:
            raise unknown_run(namespace, run) from None

    def _check_room(self, key: FunctionKey, most: int | None) -> None:
        running = sum(
            not live.record.state.is_final and live.record.key == key
            for live in self._runs.values()
        )
        if most is not None and running >= most:
            text = f"{running} runs of {key} have not ended; reservedConcurrency is {most}"
            status = HTTPStatus.TOO_MANY_REQUESTS
            raise RunRefused(status, "reserved-concurrency", text, _TRY_AGAIN_SECONDS)

    def _begin(self, record: RunRecord, folder: Path, tasks: asyncio.TaskGroup) -> None:
        live = LiveRun(record, folder, self._around, self._wall, self.emit)
        self._runs[record.key.namespace, record.id] = live
        working = tasks.create_task(live.run(), name=f"run {record.id}")
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    def _take_up(self, kept: Iterable[tuple[Path, RunRecord]], tasks: asyncio.TaskGroup) -> None:
        """Go on with the runs that an earlier session left, and know those that ended in it."""
        for folder, record in kept:
            if record.state.is_final:
                live = LiveRun(record, folder, self._around, self._wall, self.emit)
                self._runs[record.key.namespace, record.id] = live
                continue
            record.launch = record.launch.at(self.addresses)
            if not record.cancelled:
                record.message = _CUT.format(rfc3339(self._wall()))
                log.warning("run %s: %s; no attempt was used up", record.id, record.message)
            self._begin(record, folder, tasks)

    async def _sweep(self) -> None:
        while True:
            now = self._wall()
            for place, live in list(self._runs.items()):
                ended, kept_seconds = live.record.finished, live.record.launch.ttl_seconds
                if ended is not None and now >= ended + kept_seconds:
                    async with self._starting:  # who asks for it now gets a folder anew
                        del self._runs[place]
                        await asyncio.to_thread(shutil.rmtree, live.folder, ignore_errors=True)
            await asyncio.sleep(_SWEEP_SECONDS)


def _kept(folder: Path) -> list[tuple[Path, RunRecord]]:
    """Return the runs of earlier sessions, each with its folder."""
    found: list[tuple[Path, RunRecord]] = []
    for file in sorted(folder.glob("*/*/run.json")):
        try:
            found.append((file.parent, load(file.parent)))
        except (OSError, LookupError, TypeError, ValueError) as error:
            log.warning("%s is no run and stays as it is: %s", file, error)
    return found


def _prepared(
    folder: Path,
    program: Program,
    job: Job,
    request: RunRequest,
    name: str,
    around: Mapping[str, str],
) -> Launch:
    """Return how to launch a run, once its folder has its code and its input."""
    if folder.exists():  # of a run that was not begun, or is forgotten
        shutil.rmtree(folder)
    program.write_files(folder / CODE)
    input_file(folder).write_text(request.input, encoding="utf-8")
    environment = {**around, **program.own_environment(folder / CODE)}
    environment["TORPOR_TIMEOUT_SECONDS"] = str(job.timeout_seconds)
    if job.checkpoint and job.checkpoint.store:
        environment["TORPOR_CHECKPOINT"] = job.checkpoint.store
        environment["TORPOR_CHECKPOINT_SECONDS"] = str(job.checkpoint.interval_seconds)
    environment["TRACEPARENT"] = traceparent_of(name, request.traceparent)
    return Launch(
        command=program.command(),
        environment=environment,
        completions=job.completions,
        parallelism=job.parallelism,
        retries_per_index=job.retries_per_index,
        timeout_seconds=job.timeout_seconds,
        ttl_seconds=job.ttl_seconds,
        grace_seconds=job.grace_seconds,
        trace=request.traceparent,
    )
