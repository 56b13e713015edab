"""Before the first unit: the tools, the source, and the one plan that all workers share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from torpor.checkpoint import Checkpoint, PlanDiffers, Run, hash_of
from torpor.errors import TorporError
from torpor.transcode import planning
from torpor.transcode.abilities import find_abilities, works
from torpor.transcode.cost import own_size
from torpor.transcode.document import to_json
from torpor.transcode.fetch import Fetched, fetch
from torpor.transcode.model import Mode, Plan, Variant
from torpor.transcode.places import ANYWHERE, Reach, check_apart, check_target
from torpor.transcode.probe import Probed, probe
from torpor.transcode.request import MOST_THREADS, Request
from torpor.transcode.tools import Tools, find_tools

log = logging.getLogger(__name__)

MOST_ENCODER_THREADS = 16
"""More of them make x264 and x265 worse and hardly faster."""


class CannotFollow(TorporError):
    """What the plan says cannot be made here: by another image, or on a node without a GPU."""

    code = "cannot-follow-plan"


@dataclass(frozen=True, slots=True)
class Ready:
    """A source that was looked at, and what is to be made of it."""

    tools: Tools
    probed: Probed
    plan: Plan
    checkpoint: Checkpoint


async def look(
    request: Request,
    run: Run,
    scratch: Path,
    say: Callable[[str], None],
    sources: Reach = ANYWHERE,
) -> tuple[Tools, Probed, str]:
    """Return the tools, the source, and the key of the work: the same for the same request.

    Raises BadInput for what cannot be transcoded, ToolsMissing, NoRoom, and the stores' errors.
    """
    tools = await asyncio.to_thread(find_tools)
    say("fetching the source")
    fetched = await asyncio.to_thread(fetch, request.source, scratch, run, sources)
    say("counting the source's frames")
    return tools, await probe(tools, fetched, scratch), work_key(request, fetched)


async def draw_up(request: Request, tools: Tools, probed: Probed, key: str) -> Plan:
    """Return the plan that this worker would make."""
    settings = planning.Settings(
        key=key,
        variants=request.variants,
        mode=request.mode,
        unit_seconds=request.unit_seconds,
        threads=min(threads(request), MOST_ENCODER_THREADS),
        speed=request.speed,
        ffmpeg=tools.version,
    )
    abilities = await find_abilities(tools, request.devices)
    for failed in abilities.failed:
        log.warning("%s: another encoder takes its place", failed)
    return planning.plan(probed.source, probed.frames, settings, abilities)


async def prepare(
    request: Request,
    run: Run,
    scratch: Path,
    say: Callable[[str], None],
    sources: Reach = ANYWHERE,
) -> Ready:
    """Return all that encoding needs; the plan is the stored one, or is stored now.

    Raises what `look` and `draw_up` do, PlanDiffers where other work is kept in that place, and
    CannotFollow.
    """
    for place_url in (request.to, run.store_url):
        check_target(place_url)
    check_apart(request.source, request.to)
    tools, probed, key = await look(request, run, scratch, say, sources)
    checkpoint = place(request, run, key)
    kept = await asyncio.to_thread(checkpoint.planned)
    if kept is None:
        plan = await draw_up(request, tools, probed, key)
        kept = await asyncio.to_thread(_agreed, checkpoint, plan)
    shared = Plan.from_json(kept)
    if shared.key != key:
        raise PlanDiffers(
            f"{checkpoint.store.url_of(checkpoint.key('plan.json'))} is of another source or other "
            "options: give this work a place of its own, or remove that plan with its units"
        )
    _check_version(shared, tools)
    return Ready(tools, probed, shared, checkpoint)


def place(request: Request, run: Run, key: str) -> Checkpoint:
    """Return where the work is kept: in the run's store, else where the results go.

    Raises StoreRefused where there is neither.
    """
    if run.store_url or not request.to:
        return run.checkpoint(f"transcode-{key}")
    return Checkpoint(run.open(request.to), "", stop=run.stop, attempt=run.attempt)


def work_key(request: Request, fetched: Fetched) -> str:
    """Return a hash of what is asked for and of the source's content."""
    asked = to_json(replace(request, source=fetched.url))
    return hash_of({"request": asked, "sha256": fetched.sha256})


def threads(request: Request) -> int:
    """Return how many threads encode: as asked, else as many as there are CPUs."""
    return request.threads or max(1, min(MOST_THREADS, ceil(own_size().vcpus)))


def lanes(request: Request) -> int:
    """Return how many units are made at once: in stream mode one ffmpeg has all the threads."""
    return threads(request) if request.mode is Mode.UNIT else 1


async def check_encoder(tools: Tools, variant: Variant) -> None:
    """Raise CannotFollow unless the variant's encoder works here."""
    if not await works(tools, variant.encoder, variant.codec):
        raise CannotFollow(
            f"{variant.name} is planned for {variant.encoder}, which does not work on this node: "
            "let all pods of the run have the same GPU, or ask for devices: cpu"
        )


def _agreed(checkpoint: Checkpoint, plan: Plan) -> dict[str, object]:
    """Store the plan, or return the one that another worker stored meanwhile."""
    try:
        return checkpoint.plan(plan.to_json())
    except PlanDiffers:
        kept = checkpoint.planned()
        if kept is None or kept.get("key") != plan.key:
            raise
        return kept


def _check_version(plan: Plan, tools: Tools) -> None:
    if plan.ffmpeg != tools.version:
        raise CannotFollow(
            f"the plan is for ffmpeg {plan.ffmpeg}, and {tools.ffmpeg} is {tools.version}: finish "
            "it with the image that began it, or start anew in another place"
        )
