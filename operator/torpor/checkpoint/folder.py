"""A folder as a store: a volume of the run, or a laptop's disk.

A file appears under its name when it is whole and on the disk: it is written in `.staging`, synced,
and renamed (or linked, where there must be none yet).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from torpor.checkpoint.errors import (
    CheckpointError,
    ObjectChanged,
    ObjectMissing,
    StoreAway,
    StoreRefused,
)
from torpor.checkpoint.refusals import too_large
from torpor.checkpoint.store import Entry

_STAGING: Final = ".staging"
_LEFT_OVER_SECONDS: Final = 86_400.0
"""What is older in `.staging` is of a process that was killed."""
_COPY_BYTES: Final = 1 << 20
_REMEDIES: Final = {
    errno.ENOSPC: "there is no space left: make room, or give the run a larger volume",
    errno.EDQUOT: "the quota is used up: make room, or have it raised",
    errno.EFBIG: "the file is larger than this process may write",
    errno.EACCES: "this user may not: give it the folder, or set the pod's fsGroup",
    errno.EPERM: "the file system does not allow that: use one with hard links",
    errno.EOPNOTSUPP: "the file system does not allow that: use one with hard links",
    errno.ENOSYS: "the file system does not allow that: use one with hard links",
    errno.EROFS: "the file system is read-only: mount it for writing",
    errno.ENOTDIR: "a file is where a folder should be: choose another place",
    errno.ENAMETOOLONG: "the name is too long for this file system",
}
_MAY_PASS: Final = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN}


class Folder:
    """Files below a root, which is made when something is written."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / _STAGING
        with self._meaning(""):
            self._sweep()

    def stat(self, key: str) -> Entry:
        """Return what is known of a file."""
        with self._meaning(key):
            path = self._root / key
            if not path.is_file():
                raise FileNotFoundError(path)
            return _entry(key, path.stat())

    def get(self, key: str, most_bytes: int) -> bytes:
        """Return the whole of a file that is not larger than that."""
        with self._meaning(key), self._root.joinpath(key).open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            if size_bytes > most_bytes:
                raise too_large(str(self._root / key), size_bytes)
            return file.read()

    def read(self, key: str, start: int, length: int, etag: str) -> bytes:
        """Return bytes of a file of that ETag."""
        with self._meaning(key), self._root.joinpath(key).open("rb") as file:
            if etag and _entry(key, os.fstat(file.fileno())).etag != etag:
                raise ObjectChanged(f"{self._root / key} was replaced while it was read")
            file.seek(start)
            return file.read(length)

    def put(self, key: str, content: bytes) -> None:
        """Write a file."""
        with self._meaning(key), self._staged() as (path, file):
            file.write(content)
            self._keep(file, path, key)

    def put_new(self, key: str, content: bytes) -> bool:
        """Write a file unless there is one. A link, unlike renaming, never replaces."""
        with self._meaning(key), self._staged() as (path, file):
            file.write(content)
            _sync(file)
            target = self._place(key)
            try:
                target.hardlink_to(path)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
        return True

    def upload(self, path: Path, key: str) -> None:
        """Write a file from another."""
        with path.open("rb") as source, self._meaning(key), self._staged() as (staged, file):
            shutil.copyfileobj(source, file, _COPY_BYTES)
            self._keep(file, staged, key)

    def delete(self, key: str) -> None:
        """Remove a file, if there is one."""
        with self._meaning(key):
            self._root.joinpath(key).unlink(missing_ok=True)

    def list(self, folder: str) -> list[Entry]:
        """Return the files below a folder."""
        top = self._root / folder
        found: list[Entry] = []
        with self._meaning(folder):
            for place, folders, names in os.walk(top, onerror=_unless_missing):
                if _STAGING in folders:
                    folders.remove(_STAGING)
                at = Path(place)
                found += filter(None, (self._entry(at / name) for name in names))
        return sorted(found, key=lambda entry: entry.key)

    def _entry(self, path: Path) -> Entry | None:
        """Return what is known of a file that may have been removed meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            return _entry(path.relative_to(self._root).as_posix(), path.stat())
        return None

    def _place(self, key: str) -> Path:
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _keep(self, file: IO[bytes], path: Path, key: str) -> None:
        _sync(file)
        target = self._place(key)
        path.replace(target)
        _sync_folder(target.parent)

    @contextlib.contextmanager
    def _staged(self) -> Iterator[tuple[Path, IO[bytes]]]:
        """A new file that is gone afterwards, unless it was renamed."""
        self._staging.mkdir(parents=True, exist_ok=True)
        path = self._staging / uuid.uuid4().hex
        try:
            with path.open("xb") as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        before = time.time() - _LEFT_OVER_SECONDS
        for path in self._staging.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    @contextlib.contextmanager
    def _meaning(self, key: str) -> Iterator[None]:
        """Raise what an error of the file system means instead of the error."""
        try:
            yield
        except OSError as error:
            raise _meant(self._root / key, error) from error


def _meant(path: Path, error: OSError) -> CheckpointError:
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return ObjectMissing(f"{path}: there is no such file")
    if error.errno in _MAY_PASS:
        return StoreAway(f"{path}: {error.strerror}")
    todo = _REMEDIES.get(error.errno or 0, "")
    return StoreRefused(f"{path}: {todo or 'the file system refused'} ({error.strerror})")


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _entry(key: str, status: os.stat_result) -> Entry:
    return Entry(key, status.st_size, f"{status.st_ino:x}-{status.st_mtime_ns:x}")


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Have the name on the disk too."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
