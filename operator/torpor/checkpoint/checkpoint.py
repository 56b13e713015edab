"""What a run has done, kept outside of it: a plan, units, and that it is finished.

    <prefix>/plan.json                                written once, if absent
    <prefix>/seg/<args>/<unit>-<sha8><suffix>         a unit's object, named by its content
    <prefix>/seg/<args>/<unit>.json                   its record: the commit, written after it
    <prefix>/done.json                                written once, if absent

The record is the commit: an object without one does not count, nor does a record whose object is
missing or of another size. There are no locks: who commits second finds the first one's record.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from torpor.checkpoint.claim import Claim, digest
from torpor.checkpoint.errors import (
    CheckpointError,
    ObjectMissing,
    PlanDiffers,
    UnitDamaged,
)
from torpor.checkpoint.stopping import Stop
from torpor.checkpoint.store import Entry, Store
from torpor.checkpoint.unit import LONE_SURROGATES, Record, Unit, canonical

_PLAN: Final = "plan.json"
_DONE: Final = "done.json"
_READERS: Final = 8
_TRIES: Final = 5


class Checkpoint:
    """The work that is kept below `prefix` in a store. Threads may share one.

    With a `stop`, no unit is claimed after it was requested. `attempt` is written into records.
    """

    def __init__(
        self, store: Store, prefix: str, *, stop: Stop | None = None, attempt: int = 1
    ) -> None:
        self.store = store
        self.prefix = prefix.strip("/")
        self._stop = stop
        self._attempt = attempt
        self._read_before: dict[tuple[str, str], Record | None] = {}

    def key(self, name: str) -> str:
        """Return the key in the store of what is called so below the prefix."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def plan(self, document: dict[str, Any]) -> dict[str, Any]:
        """Keep the plan unless there is one, and return the one that is kept.

        Raises PlanDiffers if another one is kept, naming what differs.
        """
        kept = self._keep(_PLAN, document)
        if canonical(kept) == canonical(document):
            return kept
        raise PlanDiffers(
            f"{self.store.url_of(self.key(_PLAN))} is another plan ({_difference(kept, document)}):"
            " give this work a prefix of its own, or remove that plan with its units"
        )

    def planned(self) -> dict[str, Any] | None:
        """Return the plan that is kept, or None."""
        return self._document(_PLAN)

    def committed(self, units: Sequence[Unit]) -> dict[Unit, Record]:
        """Return the records of those of the units that are done, in the order of `units`."""
        there = self._listed({unit.folder for unit in units})
        begun = [unit for unit in units if self.key(unit.record) in there]
        with ThreadPoolExecutor(_READERS, "checkpoint-records") as pool:
            records = pool.map(lambda unit: self._record(unit, there), begun)
            kept = [record for record in records if record and self._holds(record, there)]
        return {record.unit: record for record in kept}

    def remaining(self, units: Sequence[Unit]) -> list[Unit]:
        """Return those of the units that are not done."""
        done = self.committed(units)
        return [unit for unit in units if unit not in done]

    @contextmanager
    def claim(self, unit: Unit) -> Iterator[Claim]:
        """Take a unit in hand, in a `with`; raises Stopped once a stop was requested.

        Two workers may claim the same unit: the first commit counts.
        """
        if self._stop:
            self._stop.raise_if_requested()
        claim = Claim(self.store, self.prefix, unit, self._attempt)
        try:
            yield claim
        finally:
            claim.close()

    def read(self, record: Record) -> bytes:
        """Return a committed unit's bytes (at most 64 MiB), checked. Raises UnitDamaged."""
        try:
            content = self.store.get(self.key(record.object))
        except ObjectMissing:
            content = b""
        if hashlib.sha256(content).hexdigest() != record.sha256:
            raise self._damaged(record)
        return content

    def fetch(self, record: Record, path: str | Path) -> None:
        """Write a committed unit's bytes to a file, checked. Raises UnitDamaged."""
        target = Path(path)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as folder:
            partial = Path(folder) / "object"
            try:
                self.store.download(self.key(record.object), partial)
            except ObjectMissing:
                raise self._damaged(record) from None
            if digest(partial)[1] != record.sha256:
                raise self._damaged(record)
            partial.replace(target)

    def done(self, document: dict[str, Any]) -> dict[str, Any]:
        """Say that all is done, and return what is kept: the document of who said it first."""
        return self._keep(_DONE, document)

    def finished(self) -> dict[str, Any] | None:
        """Return what was given to `done`, or None."""
        return self._document(_DONE)

    def _keep(self, name: str, document: dict[str, Any]) -> dict[str, Any]:
        """Write a document unless there is one, and return what is there then.

        A store may call a write that is still under way "there already", so nothing may be there
        yet: it is tried again.
        """
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
        content = text.encode(errors=LONE_SURROGATES)
        for _ in range(_TRIES):
            if self.store.put_new(self.key(name), content):
                return document
            if (kept := self._document(name)) is not None:
                return kept
        raise CheckpointError(f"{self.store.url_of(self.key(name))} is removed again and again")

    def _document(self, name: str) -> dict[str, Any] | None:
        try:
            kept = json.loads(self.store.get(self.key(name)))
        except ObjectMissing:
            return None
        except (ValueError, RecursionError):
            kept = None
        if isinstance(kept, dict):
            return kept
        raise CheckpointError(f"{self.store.url_of(self.key(name))} is not what it was: remove it")

    def _listed(self, folders: Iterable[str]) -> dict[str, Entry]:
        found = (self.store.list(self.key(folder)) for folder in sorted(folders))
        return {entry.key: entry for entries in found for entry in entries}

    def _record(self, unit: Unit, there: dict[str, Entry]) -> Record | None:
        """Return a unit's record; what was read before is not read again."""
        entry = there[self.key(unit.record)]
        at = (entry.key, entry.etag)
        if at not in self._read_before:
            try:
                self._read_before[at] = Record.of(unit, self.store.get(entry.key))
            except ObjectMissing:
                return None
        return self._read_before[at]

    def _holds(self, record: Record, there: dict[str, Entry]) -> bool:
        entry = there.get(self.key(record.object))
        return entry is not None and entry.size_bytes == record.size_bytes

    def _damaged(self, record: Record) -> UnitDamaged:
        """Remove the record of a unit whose object is not what was committed."""
        self.store.delete(self.key(record.unit.record))
        return UnitDamaged(
            f"{self.store.url_of(self.key(record.object))} is not what was committed: "
            f"{record.unit.name} will be made anew",
            record.unit,
        )


def _difference(kept: dict[str, Any], new: dict[str, Any]) -> str:
    names = sorted(name for name in kept.keys() | new.keys() if kept.get(name) != new.get(name))
    return f"it differs in {', '.join(names[:5])}"
