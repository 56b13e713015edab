"""What must be true of a rung before it counts as done, each failure a sentence. Pure.

A file that plays is not a file that is whole: a stopped encoder leaves a valid, shorter one, and a
damaged source makes one without an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, pairwise

from torpor.transcode.measure import Heard, Measured
from torpor.transcode.model import Plan, Variant
from torpor.transcode.timeline import Timeline


def expected_keyframes(plan: Plan) -> tuple[int, ...]:
    """Return the numbers of the frames that are keyframes in every rung."""
    begins = [0]
    for unit in plan.units:
        begins.append(begins[-1] + unit.frames)
    steps = (range(first, after, plan.keyframe_frames) for first, after in pairwise(begins))
    return tuple(chain.from_iterable(steps))


def rung_failures(plan: Plan, variant: Variant, frames: Timeline, found: Measured) -> Iterator[str]:
    """Yield what is wrong with a rung's video; `frames` are the source's."""
    if (found.width, found.height) != (variant.width, variant.height):
        size = f"{variant.width}x{variant.height}"
        yield f"is {found.width}x{found.height}, not {size} as planned"
    planned = plan.source.video.frames
    if len(found.pts) != planned or frames.frames != planned:
        yield f"has {len(found.pts)} frames of {planned}; the source has {frames.frames} now"
        return
    yield from _order(found)
    yield from _times(plan, frames, found)
    yield from _keyframes(plan, found)


def audio_failures(found: Heard | None, expected_end_seconds: Fraction | None) -> Iterator[str]:
    """Yield how the audio stands wrong to the video, which begins at 0.

    None expected: the source has no audio that is carried.
    """
    if expected_end_seconds is None or found is None:
        if (found is None) != (expected_end_seconds is None):
            yield (
                "has no audio, and the source has"
                if found is None
                else "has audio, and the source has none"
            )
        return
    if abs(found.begin_seconds) > found.frame_seconds:
        yield f"has audio that begins at {_ms(found.begin_seconds)}, not with the video"
    late = found.end_seconds - expected_end_seconds
    if abs(late) > 2 * found.frame_seconds:
        yield f"has audio that ends {_ms(abs(late))} {'late' if late > 0 else 'early'}"


def grid_failures(keyframes: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield which rungs have other keyframes than the first one: players could not change there."""
    names = list(keyframes)
    for name in names[1:]:
        if list(keyframes[name]) != list(keyframes[names[0]]):
            yield f"{name} has other keyframes than {names[0]}: {_first(keyframes, names[0], name)}"


def _order(found: Measured) -> Iterator[str]:
    wrong = next((n for n, (one, after) in enumerate(pairwise(found.pts)) if after <= one), None)
    if wrong is not None:
        yield f"shows frames {wrong} and {wrong + 1} at the same time ({found.pts[wrong]} ticks)"


def _times(plan: Plan, frames: Timeline, found: Measured) -> Iterator[str]:
    video = plan.source.video
    tick = max(found.time_base, video.time_base)
    for number, (pts, source) in enumerate(zip(found.pts, frames.pts, strict=True)):
        off = pts * found.time_base - (source - video.first_pts) * video.time_base
        if abs(off) > tick:
            yield f"shows frame {number} {_ms(off)} off the source's time"
            break
    off = found.end_pts * found.time_base - video.duration_seconds
    if abs(off) > 1 / video.frame_rate:
        yield f"is {_ms(abs(off))} {'longer' if off > 0 else 'shorter'} than the source's video"


def _keyframes(plan: Plan, found: Measured) -> Iterator[str]:
    expected = expected_keyframes(plan)
    if found.keyframes != expected:
        odd = sorted(set(expected) ^ set(found.keyframes))[0]
        is_missing = odd in expected
        yield f"has {'no' if is_missing else 'an unplanned'} keyframe at frame {odd}"


def _first(keyframes: Mapping[str, Sequence[int]], one: str, other: str) -> str:
    odd = min(set(keyframes[one]) ^ set(keyframes[other]))
    return f"frame {odd} is one in {one if odd in keyframes[one] else other} only"


def _ms(seconds: Fraction) -> str:
    return f"{float(seconds) * 1000:.3f} ms"
