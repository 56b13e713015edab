"""When each frame of a video is shown: what units are cut from and outputs are compared with."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

_ASSUMED_FRAME_SECONDS = Fraction(1, 25)
"""Of a single frame that has no duration."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Every frame's pts in ticks, rising, and where the last one ends."""

    pts: array[int]
    end_pts: int

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.pts)

    @property
    def is_vfr(self) -> bool:
        """Whether frames are shown for times that differ by more than rounding to ticks."""
        steps = [after - before for before, after in pairwise(self.pts)]
        return bool(steps) and max(steps) - min(steps) > 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A frame or packet as ffprobe tells it; None where the input does not say."""

    pts: int | None
    duration: int | None


def timeline(shown: Iterable[Shown], time_base: Fraction) -> Timeline:
    """Return the frames in the order of time; one without pts follows the one before it.

    Frames that claim the same pts are one tick apart, as ffmpeg makes them.
    """
    known = _known(shown, time_base)
    known.sort()
    pts: array[int] = array("q")
    for at, _ in known:
        pts.append(at if not pts or at > pts[-1] else pts[-1] + 1)
    return Timeline(pts, pts[-1] + _last(known, time_base) if pts else 0)


def _known(shown: Iterable[Shown], time_base: Fraction) -> list[tuple[int, int]]:
    known: list[tuple[int, int]] = []
    following = 0
    for each in shown:
        at = following if each.pts is None else each.pts
        duration = each.duration or 0
        following = at + (duration or max(1, round(_ASSUMED_FRAME_SECONDS / time_base)))
        known.append((at, duration))
    return known


def _last(known: list[tuple[int, int]], time_base: Fraction) -> int:
    """How long the last frame is shown: as it says, else as long as the frames are on average."""
    (first, _), (last, duration) = known[0], known[-1]
    if duration > 0:
        return duration
    if len(known) > 1:
        return max(1, round(Fraction(last - first, len(known) - 1)))
    return max(1, round(_ASSUMED_FRAME_SECONDS / time_base))
