"""A folder is looked at while it changes under the eyes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torpor.dev.folder import fingerprint


def test_files_are_found_with_their_changes(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "handler.py"
    file.parent.mkdir()
    file.write_text("a")
    before = fingerprint(tmp_path)
    file.write_text("ab")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "handler.pyc").write_text("x")
    after = fingerprint(tmp_path)
    assert list(before) == list(after) == [str(file)]
    assert before != after


def test_what_vanishes_between_two_looks_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").write_text("x")
    for name in "abc":
        (tmp_path / name).mkdir()
    scan = os.scandir

    def scan_late(place: Any) -> Any:
        """Empty the folder after it was listed and before what is in it is looked at."""
        found = scan(place)
        if Path(place) == tmp_path:
            entries = list(found)
            for name in "abc":
                (tmp_path / name).rmdir()
            return _Listed(entries)
        return found

    monkeypatch.setattr(os, "scandir", scan_late)
    assert list(fingerprint(tmp_path)) == [str(tmp_path / "kept")]


class _Listed:
    """What `os.scandir` gives: an iterator that is closed at its end."""

    def __init__(self, entries: list[os.DirEntry[str]]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return self._entries

    def __next__(self) -> os.DirEntry[str]:
        return next(self._entries)

    def __enter__(self) -> _Listed:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def close(self) -> None:
        return None
