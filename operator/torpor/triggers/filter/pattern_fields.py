"""Finds in an event the values of the fields that patterns name, and where in arrays they stand.

As in event-ruler, a field is known by the names on its way joined with dots, so `{"a": {"b": 1}}`
and `{"a.b": 1}` have the same field `a.b`. Values in an array all belong to the field of the array,
and an empty array or object has no value: only leaves exist.

Most events have no objects in arrays. These are read in one walk over the names that patterns use
(`plain`). For all others `placed` also finds the place of each value: which element of which array
it is in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Any
Column = tuple[str, int]
"""The field of an array, and how deep it is in other arrays of that field."""
Place = tuple[tuple[Column, int, int], ...]
"""The elements of arrays that a value is in, outermost first: (column, number of the array in the
event, index of the element)."""


class Steps:
    """The fields that are looked for, name by name: each step knows the field that it leads to."""

    __slots__ = ("field", "next", "wanted")

    def __init__(self, field: str) -> None:
        self.field = field
        self.wanted = False
        self.next: dict[str, Steps] = {}


def steps_to(fields: Iterable[str]) -> Steps:
    """All ways to these fields."""
    root = Steps("")
    for field in fields:
        add_field(root, field)
    return root


def add_field(root: Steps, field: str) -> None:
    """Add the way to one more field."""
    here, so_far = root, ""
    for name in field.split("."):
        so_far = f"{so_far}.{name}" if here is not root else name
        here = here.next.setdefault(name, Steps(so_far))
    here.wanted = True


def plain(event: Mapping[str, Json], steps: Steps, values: dict[str, Json]) -> bool:
    """Put the value, or the list of values, of each field that the event has into `values`.

    False where the event needs `placed`: an array holds objects or arrays, or a name has a dot.
    """
    following = steps.next
    for name, value in event.items():
        step = following.get(name)
        if step is None:
            if "." in name and name.partition(".")[0] in following:
                return False
        elif isinstance(value, dict):
            if step.next and not plain(value, step, values):
                return False
        elif isinstance(value, list):
            if not _is_flat(value):
                return False
            if step.wanted and value:
                values[step.field] = value
        elif step.wanted:
            values[step.field] = value
    return True


def _is_flat(array: list[Json]) -> bool:
    for element in array:  # noqa: SIM110, a generator is twice as slow for the usual few
        if isinstance(element, dict | list):
            return False
    return True


def placed(event: Mapping[str, Json], steps: Steps) -> dict[str, list[tuple[Json, Place]]]:
    """Every value of each field that the event has, with its place."""
    values: dict[str, list[tuple[Json, Place]]] = {}
    arrays = 0
    # The depth of an event's arrays is not bounded by that of the patterns: no recursion.
    waiting: list[tuple[Json, Steps, int, Place]] = [(event, steps, 0, ())]
    while waiting:
        node, step, depth, place = waiting.pop()
        if isinstance(node, Mapping):
            waiting.extend((value, further, 0, place) for value, further in _members(node, step))
        elif isinstance(node, list):
            arrays += 1
            column = (step.field, depth)
            for index, element in enumerate(node):
                if isinstance(element, dict | list):
                    inner = (*place, (column, arrays, index))
                    waiting.append((element, step, depth + 1, inner))
                else:
                    waiting.append((element, step, depth, place))
        elif step.wanted:
            values.setdefault(step.field, []).append((node, place))
    return values


def _members(node: Mapping[str, Json], steps: Steps) -> Iterator[tuple[Json, Steps]]:
    for name, value in node.items():
        step: Steps | None = steps
        for part in name.split("."):
            step = step.next.get(part) if step else None
        if step is not None:
            yield value, step
