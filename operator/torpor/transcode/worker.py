"""The transcoder as a run: encodes its share of the units, commits each, and finishes if it can.

    plan ─▶ units of this index that are missing ─▶ encode ─▶ check ─▶ commit
         ─▶ the last index makes what others lost, joins, verifies, packages ─▶ done.json

Killed at any time and started again, it makes only what is missing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from torpor.checkpoint import Progress, Run, Store, Unit, UnitDamaged
from torpor.checkpoint.environment import MOST_RESULT_BYTES
from torpor.transcode.cost import Prices, read_prices
from torpor.transcode.finish import DONE, Ending, finish, plan_units
from torpor.transcode.inhand import unless_stopped
from torpor.transcode.ledger import Ledger
from torpor.transcode.places import (
    ANYWHERE,
    SCRATCH,
    SOURCES,
    TARGETS,
    Reach,
    check_kept,
    check_target,
)
from torpor.transcode.preparing import Ready, lanes, prepare
from torpor.transcode.request import Request
from torpor.transcode.result import are_there, summary
from torpor.transcode.share import Share
from torpor.transcode.verify import LEAST_SSIM

log = logging.getLogger(__name__)

PRICES = "TORPOR_PRICES"
"""Names a file with prices; those that come with Torpor, if unset."""
_SHOW_SECONDS = 0.5

Watch = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One start of the transcoder; `watch` is shown its progress about twice a second.

    `sources` are the addresses that it may read.
    """

    request: Request
    run: Run
    prices: Prices
    scratch: Path | None = None
    least_ssim: float = LEAST_SSIM
    watch: Watch = lambda snapshot: None
    sources: Reach = ANYWHERE


@dataclass(frozen=True, slots=True)
class Made:
    """A result and where it is; no place where other workers still have units."""

    document: dict[str, Any]
    place: Store | None = None


def main(run: Run) -> dict[str, Any]:
    """Do a run of a Function: its input is a Request; for `torpor.checkpoint.run`."""
    request = Request.parse(run.input())
    check_target(request.to)
    check_kept(request.to, run.store_url, run.completions, os.environ)
    if request.to:
        Reach.named(TARGETS, os.environ).check(request.to)
    prices, scratch = os.environ.get(PRICES), os.environ.get(SCRATCH)
    job = Job(
        request=request,
        run=run,
        prices=read_prices(Path(prices) if prices else None),
        scratch=Path(scratch) if scratch else None,
        sources=Reach.named(SOURCES, os.environ),
    )
    made = asyncio.run(transcode(job))
    if made.place is None:
        return made.document
    return summary(made.document, made.place.url_of(DONE), MOST_RESULT_BYTES)


async def transcode(job: Job) -> Made:
    """Return the result (`done.json`), or what was done where other workers still have units.

    Raises BadInput, Stopped, and errors that another try may mend.
    """
    stop, books = job.run.stop, Ledger(lanes(job.request))
    with tempfile.TemporaryDirectory(prefix="torpor-transcode-", dir=job.scratch) as name:
        folder, before = Path(name), Progress(None, "frames")
        async with _shown(before, job.watch):
            preparing = prepare(job.request, job.run, folder, before.say, job.sources)
            ready = await unless_stopped(preparing, stop, _never_ends)
        place = _place(job, ready)
        done = await asyncio.to_thread(_kept, ready, place)
        if done is not None:
            return Made(done, place)
        return await _made(job, ready, folder, books)


async def _made(job: Job, ready: Ready, folder: Path, books: Ledger) -> Made:
    """Make what is left until nothing is, then end; a unit that is damaged then is made anew."""
    anew: set[Unit] = set()
    while True:
        share = await Share.of(job.run, ready, folder, books)
        async with _shown(share.progress, job.watch):
            await share.encode()
            if not share.is_made:
                continue
            try:
                return await unless_stopped(_end(job, ready, share), job.run.stop, _never_ends)
            except UnitDamaged as error:
                if error.unit in anew:
                    raise
                anew.add(error.unit)
                log.warning("%s", error)


async def _end(job: Job, ready: Ready, share: Share) -> Made:
    """Finish if every index has made its share; more than one may, with the same result."""
    units, checkpoint = plan_units(ready.plan), ready.checkpoint
    if await asyncio.to_thread(job.run.gather, checkpoint, units) is None:
        committed = await asyncio.to_thread(checkpoint.committed, units)
        return Made({"committed": len(committed), "units": len(units)})
    with tempfile.TemporaryDirectory(prefix="result-", dir=job.scratch) as name:
        return await _finished(job, ready, share, Path(name))


async def _finished(job: Job, ready: Ready, share: Share, folder: Path) -> Made:
    where = _place(job, ready)
    ending = Ending(
        tools=ready.tools,
        plan=ready.plan,
        probed=ready.probed,
        checkpoint=ready.checkpoint,
        results=where,
        folder=folder,
        formats=job.request.package,
        prices=job.prices,
        say=share.progress.say,
        least_ssim=job.least_ssim,
    )
    return Made(await finish(ending), where)


def _place(job: Job, ready: Ready) -> Store:
    """Results that are given no place go to the run's store, where the units are."""
    checkpoint = ready.checkpoint
    return job.run.open(job.request.to or checkpoint.store.url_of(checkpoint.prefix))


def _kept(ready: Ready, place: Store) -> dict[str, Any] | None:
    """Return the result that was made before; what is lost of it is made again, and told anew."""
    done = ready.checkpoint.finished()
    if done is None or are_there(done, place):
        return done
    ready.checkpoint.store.delete(ready.checkpoint.key(DONE))
    return None


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
        await asyncio.gather(showing, return_exceptions=True)
        watch(progress.snapshot())
