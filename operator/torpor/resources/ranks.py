"""Percentiles by nearest rank, so that each is a value that was measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable


def nearest_rank(values: Iterable[float], share: float) -> float:
    """Return the least value that at least `share` of all (0 to 1) do not exceed; 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0
