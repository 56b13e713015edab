"""What one worker has to make, and in which order and how many units at a time it makes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from torpor.checkpoint import Checkpoint, Progress, Run, Stopped, Unit
from torpor.transcode.encode import Bench
from torpor.transcode.finish import plan_units
from torpor.transcode.ledger import INTERVAL_SECONDS, Ledger
from torpor.transcode.making import Maker, Piece
from torpor.transcode.model import Mode, Plan, unit_name
from torpor.transcode.preparing import Ready, check_encoder

Task = Callable[[], Awaitable[None]]


class Share:
    """The units that are left to one index, and the making of them.

    These are of its own share at first, and of those that have ended when that is made.
    """

    def __init__(
        self, run: Run, ready: Ready, folder: Path, books: Ledger, left: Sequence[Unit]
    ) -> None:
        pieces = _pieces(ready.plan)
        self._run = run
        self._ready = ready
        self._books = books
        self._audio = [unit for unit in left if unit not in pieces]
        self._left = [pieces[unit] for unit in left if unit in pieces]
        self.is_made = not left
        counted = {*run.share(plan_units(ready.plan)), *left} & pieces.keys()
        total = sum(pieces[unit].plan.frames for unit in counted)
        done = total - sum(piece.plan.frames for piece in self._left)
        self.progress: Progress = run.progress(total, "frames", done=done)
        bench = Bench(ready.tools, ready.plan, ready.probed.path)
        self._maker = Maker(bench, ready.checkpoint, folder, books, run.stop, self.progress, done)

    @classmethod
    async def of(cls, run: Run, ready: Ready, folder: Path, books: Ledger) -> Share:
        """Return what of a plan is left to this index now."""
        left = await asyncio.to_thread(run.left, ready.checkpoint, plan_units(ready.plan))
        return cls(run, ready, folder, books, left)

    async def encode(self) -> None:
        """Make all of it; raises Stopped when the run is stopped, and what encoding raises."""
        for variant in {piece.variant.name: piece.variant for piece in self._left}.values():
            await check_encoder(self._ready.tools, variant)
        if not self._books.startup:
            self._books.started()
        await self._books.save(self._ready.checkpoint)
        tasks = deque(self._tasks())
        async with _saved(self._books, self._ready.checkpoint):
            await self._side_by_side(tasks, min(self._books.slots, len(tasks)))
        self._run.stop.raise_if_requested()

    def _tasks(self) -> list[Task]:
        """The audio first: it is one long unit. In stream mode, a stretch is one task."""
        audio: list[Task] = [partial(self._maker.audio, unit) for unit in self._audio]
        if self._ready.plan.mode is Mode.UNIT:
            return [*audio, *(partial(self._maker.piece, piece) for piece in self._left)]
        return [*audio, *(partial(self._maker.stretch, each) for each in stretches(self._left))]

    async def _side_by_side(self, tasks: deque[Task], lanes: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(lanes):
                    group.create_task(self._lane(tasks), name=f"transcode lane {number}")
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _lane(self, tasks: deque[Task]) -> None:
        while tasks and not self._run.stop.requested:
            try:
                await tasks.popleft()()
            except Stopped:
                return


def stretches(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return pieces, which are in order, as the runs without a gap that one ffmpeg can make."""
    found: list[list[Piece]] = []
    for piece in pieces:
        before = found[-1][-1] if found else None
        follows = (
            before is not None
            and before.variant.name == piece.variant.name
            and before.plan.index + 1 == piece.plan.index
        )
        if not follows:
            found.append([])
        found[-1].append(piece)
    return found


def _pieces(plan: Plan) -> dict[Unit, Piece]:
    """All units but the audio's, by the checkpoint's name for them."""
    pieces = [
        Piece(Unit(unit_name(variant, unit), variant.args_hash), variant, unit)
        for variant in plan.variants
        for unit in plan.units
    ]
    return {piece.unit: piece for piece in pieces}


@asynccontextmanager
async def _saved(books: Ledger, checkpoint: Checkpoint) -> AsyncIterator[None]:
    """Write the books now and then as long as the context lasts."""

    async def save() -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await books.save(checkpoint)

    saving = asyncio.create_task(save(), name="transcode books")
    try:
        yield
    finally:
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
