"""The tree that an `Index` files patterns in, so that an event meets few that do not want it.

A conjunction is filed by one of its conditions: by something that the field's value must have for
the condition to be met, its label: the exact value, or a first part of it. Where a place already
holds some, a further condition decides within it, and so on. Of several conditions the one is taken
whose places are least crowded at that moment: of a thousand patterns with one `source` and
different ids all but the first are filed by the id. A condition that has no label (a range of
numbers, say) files by the field alone, which must be there; a conjunction that only asks for
absence is met by every event.

A label is necessary, not sufficient: what an event finds is compared in full. (So it does no harm
that Python takes true for 1.)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torpor.triggers.filter.pattern_condition import Condition, Conjunction
from torpor.triggers.filter.pattern_fields import Json
from torpor.triggers.filter.pattern_values import Prefix, Wildcard

K = TypeVar("K", bound=Hashable)
_CROWDED = 4
"""Conjunctions that a place holds before a further condition decides within it."""
_MOST_PLACES = 1024
"""Places that one conjunction is filed in, at most: lists of values in several fields multiply."""


@dataclass(frozen=True, slots=True, eq=False)
class Filed(Generic[K]):
    """One conjunction of a key's pattern, which may be in several places."""

    key: K
    conjunction: Conjunction


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Generic[K]):
    """A conjunction in one place; `rest` is what the place leaves to compare."""

    filed: Filed[K]
    rest: Conjunction


@dataclass(frozen=True, slots=True)
class _Labels:
    """What one condition can be filed by."""

    condition: Condition
    exact: tuple[Hashable, ...]
    prefixes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.exact) + len(self.prefixes)

    def decides(self) -> bool:
        """Whether finding the label is all there is to compare."""
        texts = all(isinstance(value, str) for value in self.exact)
        return texts and not self.prefixes and not self.condition.tests


class Drawer(Generic[K]):
    """What is filed under one field."""

    __slots__ = ("exact", "lengths", "prefixes", "present")

    def __init__(self) -> None:
        self.exact: dict[Hashable, Node[K]] = {}
        self.prefixes: dict[str, Node[K]] = {}
        self.lengths: tuple[int, ...] = ()
        self.present: Node[K] | None = None

    def opened(self, value: Json) -> Iterator[Node[K]]:
        """The nodes that one value of the field leads to."""
        node = self.exact.get(value)
        if node is not None:
            yield node
        if self.lengths and isinstance(value, str):
            for length in self.lengths:
                node = self.prefixes.get(value[:length])
                if node is not None:
                    yield node

    def places(self, labels: _Labels) -> Iterator[Node[K]]:
        """The nodes of these labels, made where they are not there yet."""
        for value in labels.exact:
            yield self.exact.setdefault(value, Node())
        for prefix in labels.prefixes:
            if len(prefix) not in self.lengths:
                self.lengths = tuple(sorted({*self.lengths, len(prefix)}))
            yield self.prefixes.setdefault(prefix, Node())

    def crowd(self, labels: _Labels) -> int:
        """How many the fullest of these places holds."""
        nodes = [self.exact.get(value) for value in labels.exact]
        nodes += [self.prefixes.get(prefix) for prefix in labels.prefixes]
        return max((node.size for node in nodes if node is not None), default=0)


class Node(Generic[K]):
    """A place: the entries in it, and what is filed within it by further conditions."""

    __slots__ = ("drawers", "entries", "size")

    def __init__(self) -> None:
        self.entries: dict[Entry[K], None] = {}
        self.drawers: dict[str, Drawer[K]] = {}
        self.size = 0

    def visit(self, values: Mapping[str, Json], meet: Callable[[Entry[K]], None]) -> None:
        """Show every entry that the values of an event lead to; some more than once."""
        for entry in self.entries:
            meet(entry)
        drawers = self.drawers
        for field in drawers if len(drawers) < len(values) else values:
            drawer = drawers.get(field)
            if drawer is None or field not in values:
                continue
            if drawer.present is not None:
                drawer.present.visit(values, meet)
            value = values[field]
            for each in set(value) if isinstance(value, list) else (value,):
                for node in drawer.opened(each):
                    node.visit(values, meet)

    def file(self, key: K, conjunction: Conjunction) -> list[tuple[Node[K], Entry[K]]]:
        """File a conjunction; every node it is in, for taking it out again."""
        filed = Filed(key, conjunction)
        labels = [found for condition in conjunction.conditions if (found := _labels(condition))]
        if labels:
            return list(self._by_label(filed, conjunction, labels, _MOST_PLACES))
        node = self._by_presence(conjunction)
        return [node.put(Entry(filed, conjunction))]

    def put(self, entry: Entry[K]) -> tuple[Node[K], Entry[K]]:
        """Hold an entry."""
        self.entries[entry] = None
        return self, entry

    def _by_presence(self, conjunction: Conjunction) -> Node[K]:
        needed = [condition.field for condition in conjunction.conditions if not condition.absent]
        if not needed:
            return self
        drawer = self.drawers.setdefault(needed[-1], Drawer())
        drawer.present = drawer.present or Node()
        return drawer.present

    def _by_label(
        self, filed: Filed[K], rest: Conjunction, labels: list[_Labels], most: int
    ) -> Iterator[tuple[Node[K], Entry[K]]]:
        affordable = [each for each in labels if len(each) <= most] or labels[:1]
        chosen = min(affordable, key=self._cost)
        left = [each for each in labels if each is not chosen]
        if chosen.decides():
            rest = Conjunction(tuple(c for c in rest.conditions if c is not chosen.condition))
        drawer = self.drawers.setdefault(chosen.condition.field, Drawer())
        # Each step at least halves it, so the tree stays shallow too.
        fewer = most // max(2, len(chosen))
        for node in drawer.places(chosen):
            node.size += 1
            if left and len(node.entries) >= _CROWDED and fewer:
                yield from node._by_label(filed, rest, left, fewer)
            else:
                yield node.put(Entry(filed, rest))

    def _cost(self, labels: _Labels) -> tuple[int, int, int]:
        drawer = self.drawers.get(labels.condition.field)
        crowd = drawer.crowd(labels) if drawer is not None else 0
        return crowd, len(labels.prefixes), len(labels)


def _labels(condition: Condition) -> _Labels | None:
    """What a condition can be filed by, None where other values meet it too."""
    if condition.absent:
        return None
    prefixes: list[str] = []
    for test in condition.tests:
        if isinstance(test, Prefix):
            prefixes += test.texts
        elif isinstance(test, Wildcard):
            prefixes.append(test.pieces[0])
        else:
            return None
    if "" in prefixes:
        return None
    return _Labels(condition, (*condition.exact, *condition.constants), tuple(set(prefixes)))
