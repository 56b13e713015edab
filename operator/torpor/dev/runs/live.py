"""One local run at work: its indexes, so many at once, and what ends all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from torpor.dev.runs.index import Around, LocalIndex
from torpor.dev.runs.outcome import Outcome, outcome
from torpor.dev.runs.record import IndexState, RunRecord, save
from torpor.functions.runs.spans import run_span
from torpor.resources.run import RunState
from torpor.telemetry.tracing import Emit

log = logging.getLogger(__name__)


class LiveRun:
    """Works until the run is final or `stop` was called; `wall` is Unix time in seconds."""

    def __init__(
        self,
        record: RunRecord,
        folder: Path,
        around: Around,
        wall: Callable[[], float],
        emit: Emit | None,
    ) -> None:
        self.record = record
        self.folder = folder
        self.over = asyncio.Event()
        """Nothing of it goes on in this session."""
        if record.state.is_final:
            self.over.set()
        self._around = around
        self._wall = wall
        self._emit = emit
        self._saving = asyncio.Lock()
        self._indexes: dict[int, LocalIndex] = {}
        failed = any(index.state is IndexState.FAILED for index in record.indexes)
        self._stopping = record.cancelled or failed

    def stop(self) -> None:
        """Have every index told to end; none is started any more."""
        self._stopping = True
        for index in self._indexes.values():
            index.stop()

    def kill(self) -> None:
        """End every index now."""
        self._stopping = True
        for index in self._indexes.values():
            index.kill()

    def crash(self) -> list[int]:
        """Kill the processes that there are, and return their indexes: they are tried again."""
        return [number for number, index in self._indexes.items() if index.crash()]

    async def cancel(self) -> None:
        """Have the run end as cancelled; nothing happens to one that has ended."""
        if self.record.state.is_final or self.record.cancelled:
            return
        self.record.cancelled = True
        self.record.reason = "Cancelling"
        self.record.message = "its processes have been told to stop"
        self.stop()
        await self.save()

    async def run(self) -> None:
        """Return when nothing of it goes on."""
        record = self.record
        record.started = self._wall() if record.started is None else record.started
        record.state = RunState.RUNNING
        await self.save()
        late = await self._work_in_time()
        self._ended(outcome(record, self._wall(), late=late))
        await self.save()
        self.over.set()

    def _ended(self, how: Outcome | None) -> None:
        record = self.record
        if how is None:
            log.info("run %s is interrupted; it goes on in the next torpor dev here", record.id)
            return
        record.state, record.reason, record.message = how.state, how.reason, how.message
        record.finished = self._wall()
        log.info("run %s %s %s", record.id, how.state.value.lower(), how.message)
        span = run_span(record.view(), record.launch.trace, record.created, record.finished)
        if self._emit is not None and span is not None:
            self._emit(span)

    async def save(self) -> None:
        """Keep the record; where that cannot be, the next session will know less of the run."""
        try:
            async with self._saving:
                await asyncio.to_thread(save, self.record.saved(), self.folder)
        except OSError as error:  # a full disk
            log.warning("run %s: how it stands cannot be kept: %s", self.record.id, error)

    async def _work_in_time(self) -> bool:
        """Return whether the time was over before the work was."""
        record = self.record
        assert record.started is not None, "run sets it"
        left = record.started + record.launch.timeout_seconds - self._wall()
        work = asyncio.create_task(self._work(), name=f"run {record.id}")
        try:
            done, _ = await asyncio.wait((work,), timeout=max(0.0, left))
            if not done:
                self.stop()
            await work
        finally:
            work.cancel()
            await asyncio.wait((work,))
        return not done and not record.cancelled

    async def _work(self) -> None:
        record = self.record
        waiting = deque(
            number
            for number, index in enumerate(record.indexes)
            if index.state is IndexState.WAITING
        )
        async with asyncio.TaskGroup() as tasks:
            for number in range(min(record.launch.parallelism, len(waiting))):
                tasks.create_task(self._take(waiting), name=f"{record.id} worker {number}")

    async def _take(self, waiting: deque[int]) -> None:
        while waiting and not self._stopping:
            number = waiting.popleft()
            index = self._indexes[number] = LocalIndex(
                self.record, number, self.folder, self._around, self.save
            )
            try:
                await index.run()
            finally:
                del self._indexes[number]
            if index.record.state is IndexState.FAILED:
                self.stop()  # an index that failed for good fails the run
