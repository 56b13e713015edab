"""One ffmpeg for one unit (mode A), and one for all audio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torpor.checkpoint import BadInput
from torpor.errors import TorporError
from torpor.transcode.check import Planned, UnitWrong, check_unit
from torpor.transcode.command import FRAMES, SEEK, SOURCE, TARGET, decode_template, fill, input_url
from torpor.transcode.model import AudioPlan, Plan, UnitPlan, Variant
from torpor.transcode.process import Ended
from torpor.transcode.running import ignore, run_ffmpeg
from torpor.transcode.tools import Tools

OnFrames = Callable[[int], None]
OnSeconds = Callable[[float], None]


class EncodeFailed(TorporError):
    """ffmpeg failed on an input that decodes: the encoder, its device or the machine does not."""

    code = "encode-failed"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every encode of a worker uses: the programs, the plan, the local copy of the source."""

    tools: Tools
    plan: Plan
    source: Path

    def values(self, unit: UnitPlan, frames: int, target: Path) -> dict[str, str]:
        """Return what a video's template is filled with."""
        return {
            SOURCE: input_url(self.source),
            SEEK: seconds_text(unit.seek_seconds),
            FRAMES: str(frames),
            TARGET: input_url(target),
        }

    def planned(self, variant: Variant, unit: UnitPlan) -> Planned:
        """Return what the unit's file must hold."""
        return Planned(variant.codec, unit.frames, self.plan.keyframe_frames)


async def encode_unit(
    bench: Bench, variant: Variant, unit: UnitPlan, target: Path, on_frames: OnFrames
) -> None:
    """Write one unit of one variant to `target`, checked.

    Raises BadInput where the source does not decode, else EncodeFailed, UnitWrong or Stalled.
    """
    values = bench.values(unit, unit.frames, target)
    ended = await run_ffmpeg(fill(variant.args, bench.tools.ffmpeg, values), on_frames)
    if ended.code != 0:
        raise await why(bench, variant, unit, ended)
    try:
        await check_unit(bench.tools, target, bench.planned(variant, unit))
    except UnitWrong:
        await check_source(bench, unit)
        raise


async def encode_audio(
    bench: Bench, audio: AudioPlan, target: Path, on_seconds: OnSeconds = ignore
) -> None:
    """Write all audio to `target`; raises BadInput where it does not decode."""
    values = {SOURCE: input_url(bench.source), TARGET: input_url(target)}
    argv = fill(audio.args, bench.tools.ffmpeg, values)
    ended = await run_ffmpeg(argv, on_seconds=on_seconds)
    if ended.code != 0:
        raise BadInput(f"the source's audio cannot be decoded to its end: {ended.reason}")


async def why(bench: Bench, variant: Variant, unit: UnitPlan, ended: Ended) -> Exception:
    """Return the error for an encode that failed: the source's fault where it does not decode."""
    try:
        await check_source(bench, unit)
    except BadInput as error:
        return error
    return EncodeFailed(f"{variant.name}: {variant.encoder} failed: {' / '.join(ended.complaint)}")


async def check_source(bench: Bench, unit: UnitPlan) -> None:
    """Raise BadInput unless the unit's frames of the source decode, all of them."""
    seen = 0

    def count(frames: int) -> None:
        nonlocal seen
        seen = frames

    template = decode_template(bench.plan.source)
    values = bench.values(unit, unit.frames, Path("-"))
    ended = await run_ffmpeg(fill(template, bench.tools.ffmpeg, values), count)
    at = float((unit.first_pts - bench.plan.source.video.first_pts) * _tick(bench))
    if ended.code != 0:
        raise BadInput(f"the source cannot be decoded near {at:.1f} s: {ended.reason}")
    if seen != unit.frames:
        raise BadInput(f"from {at:.1f} s on, {seen} of the source's {unit.frames} frames decode")


def seconds_text(seconds: Fraction) -> str:
    """Return a seek point of whole microseconds as `-ss` reads it."""
    return f"{float(seconds):.6f}"


def _tick(bench: Bench) -> Fraction:
    return bench.plan.source.video.time_base
