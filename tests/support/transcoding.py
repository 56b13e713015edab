"""A transcode in this process, and what PyAV, a second decoder, thinks of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from torpor.checkpoint import Run
from torpor.transcode.cost import read_prices
from torpor.transcode.encoders import Speed
from torpor.transcode.request import Devices, Request
from torpor.transcode.worker import Job, transcode


def request(source: Path, target: Path, **changes: Any) -> Request:
    """A quick H.264 transcode into a folder; units of 2 s."""
    made = Request(
        source=str(source),
        to=str(target),
        variants=("h264",),
        unit_seconds=2.0,
        threads=2,
        speed=Speed.DRAFT,
        devices=Devices.CPU,
    )
    return replace(made, **changes)


async def transcoded(
    wanted: Request,
    run: Run | None = None,
    watch: Callable[[Mapping[str, Any]], None] = lambda snapshot: None,
) -> dict[str, Any]:
    """The result of a transcode."""
    job = Job(wanted, run or Run(), read_prices(None), watch=watch)
    return (await transcode(job)).document


@dataclass(frozen=True)
class Seen:
    """A file as PyAV decodes it. `times` are seconds from the first frame."""

    times: list[Fraction]
    keyframes: list[int]
    size: tuple[int, int]
    pixel_format: str
    audio_seconds: float | None

    @property
    def frames(self) -> int:
        return len(self.times)


def seen(path: Path) -> Seen:
    """Decode all of a file's video, and measure its audio."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base
        frames = list(container.decode(stream))
        pts = [frame.pts for frame in frames if frame.pts is not None]
        times = [(each - pts[0]) * stream.time_base for each in pts]
        keyframes = [number for number, frame in enumerate(frames) if frame.key_frame]
        size = (frames[0].width, frames[0].height)
        form = frames[0].format.name
    return Seen(times, keyframes, size, form, _audio_seconds(path))


def farthest_seconds(made: Seen, source: Seen) -> float:
    """By how much a frame's time differs at most; frames must be as many."""
    assert made.frames == source.frames
    return max(float(abs(a - b)) for a, b in zip(made.times, source.times, strict=True))


def _audio_seconds(path: Path) -> float | None:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        frames = list(container.decode(container.streams.audio[0]))
    return sum(frame.samples for frame in frames) / frames[0].sample_rate
