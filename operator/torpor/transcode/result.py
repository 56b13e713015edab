"""The result of a transcode, `done.json`: every file with its hash, every variant with its cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torpor.checkpoint import Store
from torpor.transcode.cost import Prices, Size
from torpor.transcode.document import to_json
from torpor.transcode.ledger import Seconds
from torpor.transcode.model import AUDIO_UNIT, Plan
from torpor.transcode.verify import Verdict

_READ_BYTES = 1 << 20
_SUMMED = ("name", "frames", "sizeBytes", "seconds", "redoneSeconds", "cost")


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the result: its path below the place where results go."""

    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Spent:
    """What the machines cost: their size, the prices, and where their seconds went."""

    size: Size
    prices: Prices
    seconds: Seconds

    def of(self, seconds: float) -> dict[str, Any]:
        """Return the seconds of one thing, and their cost."""
        cost = round(self.size.cost(seconds, self.prices), 6)
        return {"seconds": round(seconds, 3), "cost": cost}

    def variant(self, name: str) -> dict[str, Any]:
        """Return what one variant (or the audio) took, and how much of it was done in vain."""
        useful, redone = self.seconds.useful.get(name, 0.0), self.seconds.redone.get(name, 0.0)
        return {**self.of(useful + redone), "redoneSeconds": round(redone, 3)}

    def parts(self) -> dict[str, Any]:
        """Return the whole, divided by what it was good for."""
        seconds = self.seconds
        parts = {
            "useful": sum(seconds.useful.values()),
            "redone": sum(seconds.redone.values()),
            "startup": seconds.startup,
            "idle": seconds.idle,
            "finishing": seconds.finishing,
        }
        return {
            name: self.of(value) for name, value in {**parts, "total": sum(parts.values())}.items()
        }


def outputs(folder: Path) -> list[Output]:
    """Return every file below a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [_output(path, folder) for path in files]


def rung_file(variant: str) -> str:
    """Return the name of a variant's MP4."""
    return f"{variant}.mp4"


def document(
    plan: Plan, verdicts: Sequence[Verdict], files: Sequence[Output], spent: Spent
) -> dict[str, Any]:
    """Return the result of a plan whose every rung has a verdict."""
    by_path = {file.path: file for file in files}
    variants = [
        {
            **_described(plan, verdict),
            **to_json(by_path[rung_file(verdict.variant)]),
            **spent.variant(verdict.variant),
        }
        for verdict in verdicts
    ]
    return {
        "source": _source(plan),
        "mode": plan.mode.value,
        "ffmpeg": plan.ffmpeg,
        "variants": variants,
        "refused": list(plan.refused),
        "audio": spent.variant(AUDIO_UNIT),
        "cost": spent.parts(),
        "machine": to_json(spent.size),
        "prices": to_json(spent.prices),
        "outputs": [to_json(file) for file in files],
    }


def summary(result: Mapping[str, Any], url: str, most_bytes: int) -> dict[str, Any]:
    """Return what a run's status keeps of a result, which is whole at `url`.

    What does not fit into `most_bytes` of JSON is left out: what was refused, then the variants
    that cost least, whose number is `more`.
    """
    costly = sorted(result["variants"], key=lambda each: each["cost"], reverse=True)
    brief = [{name: each[name] for name in _SUMMED} for each in costly]
    told = {"done": url, "cost": result["cost"], "variants": brief}
    fewer = (
        {**told, "variants": brief[:count], "more": len(brief) - count}
        for count in reversed(range(len(brief)))
    )
    for made in ({**told, "refused": result["refused"]}, told, *fewer):
        if len(json.dumps(made, ensure_ascii=False).encode()) <= most_bytes:
            return made
    return {"done": url}


def are_there(result: Mapping[str, Any], place: Store) -> bool:
    """Return whether every file of a result is where it was put, of its size."""
    there = {entry.key: entry.size_bytes for entry in place.list()}
    return all(there.get(each["path"]) == each["sizeBytes"] for each in result["outputs"])


def _output(path: Path, folder: Path) -> Output:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    name = path.relative_to(folder).as_posix()
    return Output(name, path.stat().st_size, digest.hexdigest())


def _source(plan: Plan) -> dict[str, Any]:
    source = plan.source
    seconds = round(float(source.video.duration_seconds), 6)
    known = {"url": source.url, "sha256": source.sha256, "sizeBytes": source.size_bytes}
    return {**known, "frames": source.video.frames, "seconds": seconds}


def _described(plan: Plan, verdict: Verdict) -> dict[str, Any]:
    variant = plan.variant(verdict.variant)
    return {
        "name": variant.name,
        "codec": variant.codec.value,
        "encoder": variant.encoder,
        "width": variant.width,
        "height": variant.height,
        "frames": verdict.frames,
        "lowestSsim": verdict.lowest_ssim,
    }
