"""Decides whether what was assembled is what was planned: every gate of every rung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torpor.transcode import gates
from torpor.transcode.calls import CallFailed
from torpor.transcode.likeness import compare, references
from torpor.transcode.measure import Measured, audio_end_seconds, measure
from torpor.transcode.model import Plan, Variant
from torpor.transcode.probe import Probed
from torpor.transcode.tools import Tools

LEAST_SSIM = 0.6
"""Far below what an encoder does to a picture, far above two pictures that are unlike."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rung's: what is wrong with it, sentences that begin after its name; none if it is right.

    `lowest_ssim` is None where its pictures were not seen: it was wrong before, or this ffmpeg has
    no decoder for it.
    """

    variant: str
    failures: tuple[str, ...]
    frames: int
    keyframes: tuple[int, ...]
    lowest_ssim: float | None


async def verify(
    tools: Tools,
    plan: Plan,
    probed: Probed,
    rungs: Mapping[str, Path],
    least_ssim: float,
    scratch: Path,
) -> list[Verdict]:
    """Return a verdict on each rung, by variant's name. Nothing that is wrong with one is raised.

    `scratch` is a folder for some frames of the source. Raises CallFailed where it cannot be read.
    """
    heard = await _expected_audio_end(tools, plan, probed)
    frames = await references(tools.ffmpeg, plan, probed.path, scratch)
    gate = _Gate(tools, plan, probed, heard, frames, least_ssim)
    try:
        return [await gate.judge(plan.variant(name), path) for name, path in rungs.items()]
    finally:
        for path in frames.values():
            path.unlink(missing_ok=True)


def failures(verdicts: list[Verdict]) -> list[str]:
    """Return all that is wrong, sentences that begin with a rung's name."""
    single = [f"{verdict.variant} {text}" for verdict in verdicts for text in verdict.failures]
    grids = {verdict.variant: verdict.keyframes for verdict in verdicts if verdict.keyframes}
    return [*single, *gates.grid_failures(grids)]


@dataclass(frozen=True, slots=True)
class _Gate:
    tools: Tools
    plan: Plan
    probed: Probed
    audio_end_seconds: Fraction | None
    references: Mapping[str, Path]
    least_ssim: float

    async def judge(self, variant: Variant, path: Path) -> Verdict:
        try:
            found = await measure(self.tools.ffprobe, path)
        except CallFailed as error:
            return Verdict(variant.name, (f"cannot be read: {error}",), 0, (), None)
        wrong = list(gates.rung_failures(self.plan, variant, self.probed.frames, found))
        wrong += gates.audio_failures(found.audio, self.audio_end_seconds)
        if wrong or not self.tools.decodes(variant.codec):
            return _verdict(variant, found, wrong, None)
        lowest, unlike = await self._seen(variant, path)
        return _verdict(variant, found, unlike, lowest)

    async def _seen(self, variant: Variant, path: Path) -> tuple[float | None, list[str]]:
        reference = self.references[variant.name]
        try:
            found = await compare(self.tools.ffmpeg, self.plan, reference, path)
        except CallFailed as error:
            return None, [f"cannot be decoded: {error}"]
        wrong = [f"has errors that a decoder sees: {text}" for text in found.errors[:1]]
        worst = min(found.frames, key=lambda each: each.ssim)
        if worst.ssim < self.least_ssim:
            told = f"(SSIM {worst.ssim:.3f}, at least {self.least_ssim:g})"
            wrong.append(f"shows at frame {worst.frame} what the source does not {told}")
        return worst.ssim, wrong


def _verdict(variant: Variant, found: Measured, wrong: list[str], lowest: float | None) -> Verdict:
    return Verdict(variant.name, tuple(wrong), len(found.pts), found.keyframes, lowest)


async def _expected_audio_end(tools: Tools, plan: Plan, probed: Probed) -> Fraction | None:
    if plan.audio is None or plan.source.audio is None:
        return None
    video, audio = plan.source.video, plan.source.audio
    end = await audio_end_seconds(tools.ffprobe, probed.path, audio.stream)
    if end is None:
        return audio.start_seconds + audio.duration_seconds
    return end - video.first_pts * video.time_base
