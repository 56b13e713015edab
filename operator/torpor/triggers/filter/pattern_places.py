"""Keeps a match inside one element of each array of an event (event-ruler's array consistency).

`{"d": {"name": ["alice"], "status": ["active"]}}` matches an event in which one element of `d` has
both. While the conditions of a pattern are gone through, a *standing* is the set of elements that
those met so far have settled on. Two places agree unless they are in different elements of one
array. Standings and places are joined by the columns that they share, not each with each, so long
arrays cost about what they hold; a column that no further condition can mention is dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from torpor.triggers.filter.pattern_fields import Column, Place

Standing = frozenset[tuple[Column, int, int]]
START: Standing = frozenset()
_Groups = dict[tuple[Column, ...], list[Standing]]


def agreeing(
    standings: Iterable[Standing], places: Iterable[Place]
) -> Iterator[tuple[Standing, Standing]]:
    """Every standing with every place that agrees with it."""
    by_columns = _grouped(standings)
    for columns, elements in _grouped(map(frozenset, places)).items():
        for standing_columns, group in by_columns.items():
            shared = frozenset(columns).intersection(standing_columns)
            partners: dict[Standing, list[Standing]] = defaultdict(list)
            for standing in group:
                partners[_only(standing, shared)].append(standing)
            for element in elements:
                for standing in partners.get(_only(element, shared), ()):
                    yield standing, element


def _grouped(standings: Iterable[Standing]) -> _Groups:
    groups: _Groups = defaultdict(list)
    for standing in standings:
        groups[tuple(sorted(column for column, _, _ in standing))].append(standing)
    return groups


def _only(standing: Standing, columns: frozenset[Column]) -> Standing:
    return frozenset(element for element in standing if element[0] in columns)


def mentioned(standings: Iterable[Standing], fields: Sequence[str]) -> set[Standing]:
    """The standings without the columns that none of these fields is in."""
    columns = {element[0] for standing in standings for element in standing}
    kept = frozenset(column for column in columns if _has_field(column[0], fields))
    return {_only(standing, kept) for standing in standings}


def _has_field(array: str, fields: Sequence[str]) -> bool:
    inside = array + "."
    return any(field == array or field.startswith(inside) for field in fields)
