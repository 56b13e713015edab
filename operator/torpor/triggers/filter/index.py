"""Finds which of many patterns match an event, at a cost that grows with matches, not patterns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from torpor.triggers.filter.index_tree import Entry, Filed, Node
from torpor.triggers.filter.pattern import Pattern
from torpor.triggers.filter.pattern_fields import Json, Steps, placed, plain, steps_to

K = TypeVar("K", bound=Hashable)
_SPARE = 64
"""Removals that are borne at least before the tree is built anew without their empty places."""


class Index(Generic[K]):
    """Patterns by key; `matching` is the same as asking each pattern, and faster.

    Not safe for use by several threads at once.
    """

    def __init__(self) -> None:
        self._patterns: dict[K, Pattern] = {}
        self._filed: dict[K, list[tuple[Node[K], Entry[K]]]] = {}
        self._root: Node[K] = Node()
        self._fields: Counter[str] = Counter()
        self._steps: Steps | None = None
        self._removed = 0

    def __len__(self) -> int:
        return len(self._patterns)

    def __contains__(self, key: object) -> bool:
        return key in self._patterns

    def add(self, key: K, pattern: Pattern) -> None:
        """Add a pattern; one that was there under the key is replaced."""
        if key in self._patterns:
            self.remove(key)
        self._patterns[key] = pattern
        self._file(key, pattern)
        self._count(pattern, 1)

    def remove(self, key: K) -> None:
        """Remove the pattern under a key; nothing happens where there is none."""
        pattern = self._patterns.pop(key, None)
        if pattern is None:
            return
        for node, entry in self._filed.pop(key):
            del node.entries[entry]
        self._count(pattern, -1)
        self._removed += 1
        if self._removed > _SPARE + len(self._patterns):
            self._rebuild()

    def matching(self, event: Mapping[str, Json]) -> set[K]:
        """The keys of all patterns that an event, as `json.loads` reads it, matches."""
        if self._steps is None:
            self._steps = steps_to(self._fields)
        values: dict[str, Json] = {}
        if not plain(event, self._steps, values):
            return self._matching_in_places(event, self._steps)
        return self._found(values, lambda entry: entry.rest.met(values))

    def _matching_in_places(self, event: Mapping[str, Json], steps: Steps) -> set[K]:
        in_places = placed(event, steps)
        values = {field: [value for value, _ in each] for field, each in in_places.items()}
        return self._found(values, lambda entry: entry.filed.conjunction.met_in_places(in_places))

    def _found(self, values: Mapping[str, Json], met: Callable[[Entry[K]], bool]) -> set[K]:
        found: set[K] = set()
        seen: set[Filed[K]] = set()

        def meet(entry: Entry[K]) -> None:
            # Several values of a list may lead to one conjunction: it is compared once.
            filed = entry.filed
            if filed not in seen:
                seen.add(filed)
                if filed.key not in found and met(entry):
                    found.add(filed.key)

        self._root.visit(values, meet)
        return found

    def _file(self, key: K, pattern: Pattern) -> None:
        self._filed[key] = [
            place for each in pattern.conjunctions for place in self._root.file(key, each)
        ]

    def _count(self, pattern: Pattern, change: int) -> None:
        fields = {c.field for each in pattern.conjunctions for c in each.conditions}
        for field in fields:
            before = self._fields[field]
            self._fields[field] = before + change
            if not before or not self._fields[field]:
                self._steps = None
            if not self._fields[field]:
                del self._fields[field]

    def _rebuild(self) -> None:
        self._root, self._removed = Node(), 0
        for key, pattern in self._patterns.items():
            self._file(key, pattern)
