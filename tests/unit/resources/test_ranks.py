"""Percentiles by nearest rank."""

from __future__ import annotations

from array import array

from torpor.resources.ranks import nearest_rank


def test_percentiles_are_values_that_were_measured() -> None:
    values = array("d", [5, 1, 4, 2, 3])
    shares = (0.0, 0.5, 0.8, 0.81, 1.0)
    assert [nearest_rank(values, share) for share in shares] == [1, 3, 4, 5, 5]
    assert [nearest_rank([4, 1, 3, 2], share) for share in (0.5, 0.75, 0.95)] == [2, 3, 4]
    assert nearest_rank([], 0.5) == 0
