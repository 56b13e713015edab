"""A unit in hand, and the one step that makes it count."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any, Final

from torpor.checkpoint.errors import CheckpointError, ObjectMissing
from torpor.checkpoint.store import Store
from torpor.checkpoint.unit import Record, Unit

_PIECE_BYTES: Final = 1 << 20


class Claim:
    """A unit in hand. Without `commit` nothing of it is kept."""

    def __init__(self, store: Store, prefix: str, unit: Unit, attempt: int) -> None:
        self.unit = unit
        self._store = store
        self._folder = f"{prefix}/" if prefix else ""
        self._attempt = attempt
        self._began = time.monotonic()
        self._open = True

    def commit(self, content: bytes | str | Path, suffix: str = "", **facts: Any) -> Record:
        """Keep a unit's result: bytes, or a file of that path; return the record that counts.

        `suffix` ends the object's name (that of the file if it is not given). Facts are JSON. If
        another worker committed the unit first, its record is kept and returned.
        """
        if not self._open:
            raise CheckpointError(f"{self.unit.name} is not in hand any more: claim it again")
        json.dumps(facts, allow_nan=False)
        seconds = round(time.monotonic() - self._began, 3)
        size_bytes, sha256 = digest(content)
        if not suffix and not isinstance(content, bytes):
            suffix = Path(content).suffix
        name = self.unit.object(sha256, suffix)
        self._upload(content, name, size_bytes)
        self._open = False
        return self._record(
            Record(self.unit, name, size_bytes, sha256, self._attempt, seconds, facts)
        )

    def close(self) -> None:
        """Let go of the unit."""
        self._open = False

    def _upload(self, content: bytes | str | Path, name: str, size_bytes: int) -> None:
        """Write the object, and look whether all of it is there before anything says so."""
        key = self._folder + name
        if isinstance(content, bytes):
            self._store.put(key, content)
        else:
            self._store.upload(content, key)
        there = self._store.stat(key).size_bytes
        if there != size_bytes:
            raise CheckpointError(
                f"{self._store.url_of(key)} has {there} bytes instead of {size_bytes}: "
                "the file was changed while it was committed"
            )

    def _record(self, record: Record) -> Record:
        """Write the record, unless there is one that holds."""
        key = self._folder + self.unit.record
        content = json.dumps(record.to_json(), indent=1).encode()
        if self._store.put_new(key, content):
            return record
        first = self._first(key)
        if first is None:
            self._store.put(key, content)
        return first or record

    def _first(self, key: str) -> Record | None:
        """Return the record that is there, if its object is too."""
        try:
            record = Record.of(self.unit, self._store.get(key))
            if record and self._store.stat(self._folder + record.object).size_bytes == (
                record.size_bytes
            ):
                return record
        except ObjectMissing:
            pass
        return None


def digest(content: bytes | str | Path) -> tuple[int, str]:
    """Return the number of bytes and their SHA-256, of bytes or of a file."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    size_bytes, found = 0, hashlib.sha256()
    with Path(content).open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            size_bytes += len(piece)
            found.update(piece)
    return size_bytes, found.hexdigest()
