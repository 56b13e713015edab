"""What a folder that stands for a bucket holds, as a listing of a store has it.

Walked here, as the store's own listing ends at the first entry that it cannot take: a link that
leads back to where it is, or a name that is not UTF-8.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from torpor.resources.names import METADATA_FOLDER

log = logging.getLogger(__name__)

_MOST_METADATA_BYTES: Final = 64 * 1024
_BEING_WRITTEN: Final = re.compile(r".*#[0-9]+", re.DOTALL)
"""How obstore names a file until it is whole."""
_Identity = tuple[int, int]


@dataclass(slots=True)
class FolderListing:
    """Lists one folder again and again; what it passes over is told once in the log."""

    folder: Path
    _told: set[str] = field(default_factory=set)

    def entries(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Yield path, size, etag and time of each file whose path may have the prefix. OSError."""
        top = self.folder.stat()
        waiting = [("", frozenset({_identity(top)}))]
        while waiting:
            place, above = waiting.pop()
            for name in self._names(place):
                key = f"{place}{name}"
                status = self._status(key)
                if status is None or not _may_have(key, prefix):
                    continue
                if stat.S_ISREG(status.st_mode):
                    if not _BEING_WRITTEN.fullmatch(name):
                        yield _entry(key, status)
                elif stat.S_ISDIR(status.st_mode) and _identity(status) in above:
                    self._pass_over(key, "it leads back to a folder that it is in")
                elif stat.S_ISDIR(status.st_mode):
                    waiting.append((f"{key}/", above | {_identity(status)}))

    def metadata(self, key: str) -> Mapping[str, Any]:
        """Return what is kept beside an object; empty where there is nothing, or no JSON object."""
        try:
            with (self.folder / METADATA_FOLDER / key).open("rb") as file:
                found = json.loads(file.read(_MOST_METADATA_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _names(self, place: str) -> list[str]:
        try:
            names = os.listdir(self.folder / place)
            return names if place else [name for name in names if name != METADATA_FOLDER]
        except OSError as error:
            if not place:
                raise
            if not isinstance(error, FileNotFoundError):
                self._pass_over(place, str(error.strerror))
            return []

    def _status(self, key: str) -> os.stat_result | None:
        """Of what a link leads to; None for what does not count."""
        try:
            key.encode()
            return (self.folder / key).stat()
        except FileNotFoundError:
            return None  # removed since, or a link that leads nowhere
        except UnicodeEncodeError:
            self._pass_over(key, "its name is not UTF-8")
        except OSError as error:
            self._pass_over(key, str(error.strerror))
        return None

    def _pass_over(self, key: str, why: str) -> None:
        if key not in self._told:
            self._told.add(key)
            path = os.fsencode(self.folder / key).decode(errors="backslashreplace")
            log.warning("a file is passed over", extra={"fields": {"path": path, "error": why}})


def _may_have(key: str, prefix: str) -> bool:
    """Whether it has the prefix, or is a folder in which something can."""
    return key.startswith(prefix) or prefix.startswith(f"{key}/")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _entry(key: str, status: os.stat_result) -> dict[str, Any]:
    return {
        "path": key,
        "size": status.st_size,
        "e_tag": f"{status.st_ino:x}-{status.st_mtime_ns // 1000:x}-{status.st_size:x}",
        "last_modified": datetime.fromtimestamp(status.st_mtime, UTC),
    }
