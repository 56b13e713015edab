"""The transcoder as a run: encodes its share of the units, commits each, and finishes if it can.

    plan ─▶ units of this index that are missing ─▶ encode ─▶ check ─▶ commit
         ─▶ whoever finds all units committed joins, verifies, packages ─▶ done.json

Killed at any time and started again, it makes only what is missing.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from torpor.checkpoint import Checkpoint, Progress, Run, Store
from torpor.transcode.cost import Prices, read_prices
from torpor.transcode.finish import Ending, finish, plan_units
from torpor.transcode.inhand import unless_stopped
from torpor.transcode.ledger import Ledger
from torpor.transcode.preparing import Ready, lanes, prepare
from torpor.transcode.request import Request
from torpor.transcode.share import Share
from torpor.transcode.verify import LEAST_SSIM

SCRATCH = "TORPOR_SCRATCH"
"""Names the folder for work in hand; the system's, if unset."""
PRICES = "TORPOR_PRICES"
"""Names a file with prices; those that come with Torpor, if unset."""
_SHOW_SECONDS = 0.5

Watch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One start of the transcoder; `watch` is shown its progress about twice a second."""

    request: Request
    run: Run
    prices: Prices
    scratch: Path | None = None
    least_ssim: float = LEAST_SSIM
    watch: Watch = lambda snapshot: None


def main(run: Run) -> dict[str, Any]:
    """Do a run of a Function: its input is a Request; for `torpor.checkpoint.run`."""
    prices, scratch = os.environ.get(PRICES), os.environ.get(SCRATCH)
    return asyncio.run(
        transcode(
            Job(
                request=Request.parse(run.input()),
                run=run,
                prices=read_prices(Path(prices) if prices else None),
                scratch=Path(scratch) if scratch else None,
            )
        )
    )


async def transcode(job: Job) -> dict[str, Any]:
    """Return the result (`done.json`), or what was done where other workers still have units.

    Raises BadInput, Stopped, and errors that another try may mend.
    """
    stop, books = job.run.stop, Ledger(lanes(job.request))
    with tempfile.TemporaryDirectory(prefix="torpor-transcode-", dir=job.scratch) as name:
        folder, before = Path(name), Progress(None, "frames")
        async with _shown(before, job.watch):
            preparing = prepare(job.request, job.run, folder, before.say)
            ready = await unless_stopped(preparing, stop, _never_ends)
        done = await asyncio.to_thread(ready.checkpoint.finished)
        if done is not None:
            return done
        share = await Share.of(job.run, ready, folder, books)
        async with _shown(share.progress, job.watch):
            await share.encode()
            return await unless_stopped(_end(job, ready, share, folder), stop, _never_ends)


async def _end(job: Job, ready: Ready, share: Share, folder: Path) -> dict[str, Any]:
    """Finish if every unit is there; more than one worker may, with the same result."""
    units = plan_units(ready.plan)
    committed = await asyncio.to_thread(ready.checkpoint.committed, units)
    if len(committed) < len(units):
        return {"committed": len(committed), "units": len(units)}
    where = job.run.open(job.request.to) if job.request.to else _beside(ready.checkpoint, job.run)
    ending = Ending(
        tools=ready.tools,
        plan=ready.plan,
        probed=ready.probed,
        checkpoint=ready.checkpoint,
        results=where,
        folder=folder / "result",
        formats=job.request.package,
        prices=job.prices,
        say=share.progress.say,
        least_ssim=job.least_ssim,
    )
    return await finish(ending)


def _beside(checkpoint: Checkpoint, run: Run) -> Store:
    """Results that are given no place go to the run's store, where the units are."""
    return run.open(checkpoint.store.url_of(checkpoint.prefix))


def _never_ends() -> float:
    return inf


@asynccontextmanager
async def _shown(progress: Progress, watch: Watch) -> AsyncIterator[None]:
    """Show progress as long as the context lasts, and once at its end."""

    async def show() -> None:
        while True:
            watch(progress.snapshot())
            await asyncio.sleep(_SHOW_SECONDS)

    showing = asyncio.create_task(show(), name="transcode progress")
    try:
        yield
    finally:
        showing.cancel()
        watch(progress.snapshot())
