"""How the indexes of a run divide its units, and how the last of them knows that it is the last.

    ends/<run>/<index>-of-<completions>     that index has made its share; at the store's root

An index that has returned is not started again, whatever becomes of its units. So each first says
that its share is made, and then looks at those of all who said so: whoever says it last sees every
share, makes what is missing of any, and finishes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torpor.checkpoint.checkpoint import Checkpoint
from torpor.checkpoint.errors import UnitDamaged
from torpor.checkpoint.store import Store
from torpor.checkpoint.unit import Record, Unit


@dataclass(frozen=True, slots=True)
class Shares:
    """Those of the run of that id, seen by index `index` of `of`."""

    run: str
    index: int
    of: int

    def share(self, units: Sequence[Unit], index: int) -> Sequence[Unit]:
        """Return an index's share: the units are divided into equal runs."""
        return units[len(units) * index // self.of : len(units) * (index + 1) // self.of]

    def left(self, work: Checkpoint, units: Sequence[Unit]) -> list[Unit]:
        """Return what this index has to make: of its share, then of all shares that have ended."""
        if own := work.remaining(self.share(units, self.index)):
            return own
        self._end(work.store)
        ended = sorted(self._ended(work.store))
        return work.remaining([unit for index in ended for unit in self.share(units, index)])

    def gather(self, work: Checkpoint, units: Sequence[Unit]) -> dict[Unit, Record] | None:
        """Return the records of all units, or None while another index makes its share.

        Raises UnitDamaged if all have ended and a unit is missing.
        """
        if len(self._ended(work.store)) < self.of:
            return None
        records = work.committed(units)
        for unit in units:
            if unit not in records:
                raise UnitDamaged(f"{unit.name} is missing: it will be made anew", unit)
        return records

    def _end(self, store: Store) -> None:
        if self.of > 1:
            store.put(self._key(self.index), b"")

    def _ended(self, store: Store) -> set[int]:
        if self.of == 1:
            return {0}
        there = {entry.key for entry in store.list(f"ends/{self.run}/")}
        return {index for index in range(self.of) if self._key(index) in there}

    def _key(self, index: int) -> str:
        return f"ends/{self.run}/{index}-of-{self.of}"
