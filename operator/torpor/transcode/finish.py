"""From units that are all committed to the files that people get: joined, verified, packaged.

Nothing is put where the results go before every rung has passed every gate, and the lists that
players begin with come last. Done twice, it puts the same files in the same places.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torpor.checkpoint import Checkpoint, Record, Store, Unit
from torpor.errors import TorporError
from torpor.transcode import ledger, stills
from torpor.transcode.assemble import UnitFile, assemble
from torpor.transcode.cost import Prices, own_size
from torpor.transcode.encoders import CPU
from torpor.transcode.model import AUDIO_UNIT, Codec, Plan, Variant, unit_name
from torpor.transcode.packaging import package
from torpor.transcode.probe import Probed
from torpor.transcode.request import Packaging
from torpor.transcode.result import Output, Spent, document, outputs, rung_file
from torpor.transcode.tools import Tools
from torpor.transcode.verify import LEAST_SSIM, Verdict, failures, verify

DONE, PLAN = "done.json", "plan.json"
_SHOWN_FAILURES = 5


class NotWhole(TorporError):
    """Units are missing: the encoding has not ended."""

    code = "not-whole"


class VerifyFailed(TorporError):
    """What was assembled is not what was planned; nothing was put where the results go."""

    code = "verify-failed"


@dataclass(frozen=True, slots=True)
class Ending:
    """All that finishing needs. `folder` is empty, on a disk with room for the whole result.

    `say` is told what is being done, a few words.
    """

    tools: Tools
    plan: Plan
    probed: Probed
    checkpoint: Checkpoint
    results: Store
    folder: Path
    formats: tuple[Packaging, ...]
    prices: Prices
    say: Callable[[str], None]
    least_ssim: float = LEAST_SSIM
    clock: Callable[[], float] = time.monotonic


async def finish(ending: Ending) -> dict[str, Any]:
    """Return the result, which is `done.json` then.

    Raises NotWhole, VerifyFailed, CallFailed, UnitDamaged, and the stores' errors.
    """
    begun = ending.clock()
    records = await asyncio.to_thread(_records, ending)
    made = ending.folder / "out"
    made.mkdir(parents=True)
    audio = await _audio(ending, records)
    rungs = {
        variant.name: await _rung(ending, variant, records, audio, made)
        for variant in ending.plan.variants
    }
    verdicts = await judge(ending, rungs)
    await _beside(ending, rungs, audio, made)
    files = await asyncio.to_thread(outputs, made)
    worked = await asyncio.to_thread(ledger.total, ending.checkpoint)
    worked = replace(worked, finishing=worked.finishing + ending.clock() - begun)
    spent = Spent(own_size(_gpus(ending.plan)), ending.prices, worked)
    result = document(ending.plan, verdicts, files, spent)
    return await _put(ending, made, files, result)


def plan_units(plan: Plan) -> list[Unit]:
    """Return the checkpoint's units of a plan, in its order."""
    audio = [Unit(AUDIO_UNIT, plan.audio.args_hash)] if plan.audio else []
    return audio + [
        Unit(unit_name(variant, unit), variant.args_hash)
        for variant in plan.variants
        for unit in plan.units
    ]


async def judge(ending: Ending, rungs: Mapping[str, Path]) -> list[Verdict]:
    """Return the verdicts on all rungs; VerifyFailed if one is not right."""
    ending.say("verifying")
    plan, tools = ending.plan, ending.tools
    verdicts = await verify(tools, plan, ending.probed, rungs, ending.least_ssim, ending.folder)
    wrong = failures(verdicts)
    if wrong:
        more = len(wrong) - _SHOWN_FAILURES
        shown = "; ".join(wrong[:_SHOWN_FAILURES])
        raise VerifyFailed(
            f"the result is not what was planned: {shown}" + f"; {more} more" * (more > 0)
        )
    return verdicts


def _records(ending: Ending) -> dict[str, Record]:
    units = plan_units(ending.plan)
    found = ending.checkpoint.committed(units)
    missing = [unit.name for unit in units if unit not in found]
    if missing:
        raise NotWhole(
            f"{len(missing)} of {len(units)} units are not made yet, such as {missing[0]}"
        )
    return {unit.name: record for unit, record in found.items()}


async def _audio(ending: Ending, records: Mapping[str, Record]) -> Path | None:
    if ending.plan.audio is None:
        return None
    path = ending.folder / "audio.mp4"
    await asyncio.to_thread(ending.checkpoint.fetch, records[AUDIO_UNIT], path)
    return path


async def _rung(
    ending: Ending,
    variant: Variant,
    records: Mapping[str, Record],
    audio: Path | None,
    made: Path,
) -> Path:
    """Join a variant's units, which are on this disk only while that is done."""
    ending.say(f"joining {variant.name}")
    units: list[UnitFile] = []
    try:
        for unit in ending.plan.units:
            path = ending.folder / f"{unit.index:05d}.mp4"
            record = records[unit_name(variant, unit)]
            await asyncio.to_thread(ending.checkpoint.fetch, record, path)
            units.append(UnitFile(path, unit.duration_seconds))
        target = made / rung_file(variant.name)
        await assemble(ending.tools.ffmpeg, units, audio, target)
        return target
    finally:
        for unit_file in units:
            unit_file.path.unlink(missing_ok=True)


async def _beside(
    ending: Ending, rungs: Mapping[str, Path], audio: Path | None, made: Path
) -> None:
    """Write what is made of the rungs: segments and their lists, poster, thumbnails."""
    ending.say("packaging")
    plan, program = ending.plan, ending.tools.ffmpeg
    if ending.formats:
        source = ending.probed.path
        await package(program, plan, rungs, audio, source, made, ending.formats)
    seen = [variant for variant in plan.variants if ending.tools.decodes(variant.codec)]
    if not seen:
        return
    large, small = min(seen, key=_least_loss), min(seen, key=_least_work)
    seconds = plan.source.video.duration_seconds
    grid = stills.grid_of(seconds, large.width, large.height)
    await stills.write_poster(program, rungs[large.name], seconds, made / stills.POSTER)
    await stills.write_thumbnails(program, rungs[small.name], grid, made)


def _least_loss(variant: Variant) -> tuple[bool, int]:
    """The largest picture in SDR, which H.264 always is."""
    return variant.codec is not Codec.H264, -variant.width * variant.height


def _least_work(variant: Variant) -> tuple[bool, int]:
    return variant.codec is not Codec.H264, variant.width * variant.height


async def _put(
    ending: Ending, made: Path, files: list[Output], result: dict[str, Any]
) -> dict[str, Any]:
    """Upload the files, lists last, so that they name only what is there; return what is kept.

    Plan and result are beside them, wherever the checkpoint is.
    """
    for number, file in enumerate(sorted(files, key=_in_order)):
        ending.say(f"putting file {number + 1} of {len(files)} in its place")
        await asyncio.to_thread(ending.results.upload, made / file.path, file.path)
    return await asyncio.to_thread(_say_done, ending, result)


def _say_done(ending: Ending, result: dict[str, Any]) -> dict[str, Any]:
    checkpoint, results = ending.checkpoint, ending.results
    if results.url_of(DONE) != checkpoint.store.url_of(checkpoint.key(DONE)):
        for name, value in ((PLAN, ending.plan.to_json()), (DONE, result)):
            results.put(name, json.dumps(value, indent=1).encode())
    return checkpoint.done(result)


def _in_order(file: Output) -> tuple[bool, bool, str]:
    return file.path.endswith((".m3u8", ".mpd")), "/" not in file.path, file.path


def _gpus(plan: Plan) -> int:
    return int(any(variant.encoder not in CPU.values() for variant in plan.variants))
