"""The cold starts that one run of `torpor dev` remembers, to show them."""

from __future__ import annotations

from collections.abc import Iterable

from torpor.resources.load import ColdStart

MOST = 1000


def remember(known: dict[int, ColdStart], found: Iterable[ColdStart]) -> None:
    """Add those that are new, by their sequence; beyond `MOST` the oldest are dropped."""
    for item in found:
        known[item.sequence] = item
    while len(known) > MOST:
        del known[next(iter(known))]
