"""Which sizes an input is made in: never larger than it is, by the box that a size fits in.

A rung is a box of 16:9, turned for upright videos. So a film of 1920x800 has a 1080p rung of its
own size, and a phone's 1080x1920 one of 1080x1920.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

RUNGS = (2160, 1080, 720, 480, 360, 240)
MOST_RUNGS = 4
"""How many are made where none are named."""
_BOX = Fraction(16, 9)
_FULL_HD_PIXELS = 1920 * 1080
_FULL_HD_BITS_PER_SECOND = 6_000_000
_SMALLEST_BITS_PER_SECOND = 100_000
_BASE_RATE = 30


@dataclass(frozen=True, slots=True)
class Rung:
    """A size to make: `label` is what people call it, such as `720p`. Both sides are even."""

    label: str
    width: int
    height: int


def ladder(width: int, height: int) -> tuple[Rung, ...]:
    """Return all sizes for a picture as it is seen, the largest first; the first few are made.

    The largest is the picture's own, if that is not above 2160p.
    """
    smaller = [_rung(width, height, short) for short in RUNGS if _scale(width, height, short) < 1]
    if len(smaller) == len(RUNGS):
        return tuple(smaller)
    return (_as_it_is(width, height, {rung.label for rung in smaller}), *smaller)


def most_bits_per_second(width: int, height: int, rate: Fraction, ratio: Fraction) -> int:
    """Return the cap of a rung: 6 Mbit/s at 1080p30 in H.264, less for `ratio` of other codecs.

    Pixels count by the power of 0.75, and frames a second above 30 by their root: neighbouring
    pixels and frames tell little that is new.
    """
    pixels: float = (width * height / _FULL_HD_PIXELS) ** 0.75
    frames = max(1.0, float(rate / _BASE_RATE)) ** 0.5
    bits: float = _FULL_HD_BITS_PER_SECOND * pixels * frames * float(ratio)
    return max(_SMALLEST_BITS_PER_SECOND, round(bits / 1000) * 1000)


def _scale(width: int, height: int, short: int) -> Fraction:
    """By how much a picture is to be made smaller for a box; 1 or more where it fits."""
    long = ceil(short * _BOX / 2) * 2
    return min(Fraction(long, max(width, height)), Fraction(short, min(width, height)))


def _rung(width: int, height: int, short: int) -> Rung:
    scale = _scale(width, height, short)
    return Rung(f"{short}p", _even(width * scale, width), _even(height * scale, height))


def _as_it_is(width: int, height: int, taken: set[str]) -> Rung:
    """The input's own size, called after the box that it fills, else after its short side."""
    own = Rung("", _even(Fraction(width), width), _even(Fraction(height), height))
    filled = [short for short in RUNGS if _scale(width, height, short) == 1]
    label = f"{filled[0] if filled else min(own.width, own.height)}p"
    return replace(own, label=f"{own.width}x{own.height}" if label in taken else label)


def _even(length: Fraction, most: int) -> int:
    """The nearest even length, as chroma is halved; never more than the input has."""
    return max(2, min(round(length / 2) * 2, most // 2 * 2))
