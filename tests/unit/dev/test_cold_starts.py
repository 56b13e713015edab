"""A session of days remembers so many cold starts and no more."""

from __future__ import annotations

from torpor.dev.cold_starts import MOST, remember
from torpor.resources.load import ColdStart
from torpor.resources.names import FunctionKey


def cold_start(sequence: int) -> ColdStart:
    return ColdStart(FunctionKey("shop", "cart"), sequence, {}, float(sequence))


def test_the_latest_are_kept() -> None:
    known: dict[int, ColdStart] = {}
    for first in range(0, 2 * MOST, 32):  # a gateway tells the latest 64 again and again
        remember(known, [cold_start(sequence) for sequence in range(first, first + 64)])
    newest = max(known)
    assert list(known) == list(range(newest - MOST + 1, newest + 1))
