"""What people read of a transcode's plan, its result, and how its results were judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torpor.cli import output
from torpor.transcode.model import Plan
from torpor.transcode.verify import Verdict

_MEGA = 1_000_000


def plan_text(plan: Plan) -> str:
    """Return a plan: the source, the variants, the units."""
    video, audio = plan.source.video, plan.source.audio
    heard = f"{audio.codec}, {audio.channels} channels, {audio.rate} Hz" if audio else "none"
    timing = " (varying)" if video.is_vfr else ""
    facts = {
        "source": plan.source.url,
        "video": f"{video.codec} {video.width}x{video.height}, {_rate(plan)} frames/s{timing}",
        "length": f"{video.frames} frames, {float(video.duration_seconds):.3f} s",
        "audio": heard,
        "units": f"{len(plan.units)} of {plan.units[0].frames} frames, mode {plan.mode.value}",
        "ffmpeg": f"{plan.ffmpeg}, {output.counted(plan.threads, 'thread', 'threads')}",
    }
    return "\n".join([*output.facts(facts), "", _variants(plan), *_refused(plan.refused)])


def result_text(result: Mapping[str, Any]) -> str:
    """Return a result: a line for each variant with its size, time and cost."""
    header = ["VARIANT", "SIZE", "ENCODER", "MB", "SSIM", "SECONDS", "COST"]
    rows = [
        [
            each["name"],
            f"{each['width']}x{each['height']}",
            each["encoder"],
            f"{each['sizeBytes'] / _MEGA:.2f}",
            _ssim(each["lowestSsim"]),
            f"{each['seconds']:.1f}",
            _money(result, each["cost"]),
        ]
        for each in result["variants"]
    ]
    total, redone = result["cost"]["total"], result["cost"]["redone"]
    in_vain = f", {redone['seconds']:.1f} s of them made again" if redone["seconds"] else ""
    spent = f"{total['seconds']:.1f} s in all{in_vain}, {_money(result, total['cost'])}"
    prices = f"at prices of {result['prices']['asOf']}: {result['prices']['note']}"
    return "\n".join(
        [output.table(header, rows), *_refused(result["refused"]), "", f"{spent}, {prices}"]
    )


def verdict_text(verdicts: Sequence[Verdict], wrong: Sequence[str]) -> str:
    """Return a line for each rung, and below one for each failure."""
    header = ["VARIANT", "FRAMES", "KEYFRAMES", "SSIM", "RIGHT"]
    rows = [
        [
            each.variant,
            str(each.frames),
            str(len(each.keyframes)),
            _ssim(each.lowest_ssim),
            "no" if each.failures else "yes",
        ]
        for each in verdicts
    ]
    return "\n".join([output.table(header, rows), *([""] if wrong else []), *wrong])


def _variants(plan: Plan) -> str:
    header = ["VARIANT", "SIZE", "ENCODER", "CRF", "MOST"]
    rows = [
        [
            each.name,
            f"{each.width}x{each.height}",
            each.encoder,
            str(each.crf),
            f"{each.max_bits_per_second / _MEGA:.2f} Mbit/s",
        ]
        for each in plan.variants
    ]
    return output.table(header, rows)


def _refused(refused: Sequence[str]) -> Iterator[str]:
    yield from (f"not made: {text}" for text in refused)


def _ssim(lowest: float | None) -> str:
    """Return how like the source it is; `-` where that was not seen."""
    return "-" if lowest is None else f"{lowest:.3f}"


def _money(result: Mapping[str, Any], amount: float) -> str:
    return f"{amount:.6f} {result['prices']['currency']}"


def _rate(plan: Plan) -> str:
    return f"{float(plan.source.video.frame_rate):.3f}".rstrip("0").rstrip(".")
