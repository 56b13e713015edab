"""The object store that checkpoints are in: S3, GCS, Azure, or a folder.

Every operation waits for a store that is away (`Patience`) and fails at once where waiting does not
help, with a sentence that says what to do. Files pass through in pieces, never whole in memory.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from torpor.checkpoint.errors import NoStore
from torpor.checkpoint.patience import Patience

_T = TypeVar("_T")

MOST_CONTENT_BYTES = 64 << 20
"""Of what is read into memory as a whole."""
_PIECE_BYTES = 16 << 20
_SCHEMES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "http", "https")
"""http and https are for reading."""
_SLIP = re.compile(rf"({'|'.join(_SCHEMES)}|file):(?!//)|[a-z][a-z0-9+.-]+:/(?!/)")
"""An address that lacks a slash, which would be a folder of that name."""
_WRITE = "is no address of a store: write s3://bucket/prefix, gs://…, az://…, or a folder"
_OUTSIDE = {"", ".", "..", ".staging"}


@dataclass(frozen=True, slots=True)
class Entry:
    """An object; `etag` changes with its content."""

    key: str
    size_bytes: int
    etag: str


class Backend(Protocol):
    """One kind of store, asked once.

    Raises StoreAway for what may pass, StoreRefused for what does not, ObjectMissing and
    ObjectChanged.
    """

    def stat(self, key: str) -> Entry:
        """Return what is known of an object."""
        ...

    def get(self, key: str, most_bytes: int) -> bytes:
        """Return the whole of an object; StoreRefused if it is larger."""
        ...

    def read(self, key: str, start: int, length: int, etag: str) -> bytes:
        """Return bytes of an object of that ETag."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """Write an object, whole or not at all."""
        ...

    def put_new(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; return whether it was written."""
        ...

    def upload(self, path: Path, key: str) -> None:
        """Write an object from a file, whole or not at all."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        ...

    def list(self, folder: str) -> list[Entry]:
        """Return the objects whose key begins with `folder`, which ends with a slash, by key."""
        ...


class Store:
    """Objects by key below one URL. Threads may share a store."""

    def __init__(self, url: str, backend: Backend, patience: Patience) -> None:
        self.url = url
        self._backend = backend
        self._patience = patience

    @classmethod
    def open(
        cls,
        url: str,
        *,
        patience: Patience | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Store:
        """Return the store at `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///path`, or a path.

        Credentials are taken from the environment (`AWS_*`, `GOOGLE_*`, `AZURE_*`), `options` go
        before it. Raises NoStore for what is no address of a store.
        """
        url = url.rstrip("/") or url
        return cls(url, _backend(url, options or {}), patience or Patience())

    def url_of(self, key: str) -> str:
        """Return the whole address of an object."""
        return f"{self.url}/{key}"

    def stat(self, key: str) -> Entry:
        """Return what is known of an object; raises ObjectMissing."""
        return self._do("look at", key, lambda: self._backend.stat(key))

    def get(self, key: str) -> bytes:
        """Return an object of at most 64 MiB; raises ObjectMissing, and StoreRefused if larger."""
        return self._do("read", key, lambda: self._backend.get(key, MOST_CONTENT_BYTES))

    def get_range(self, entry: Entry, start_bytes: int, length_bytes: int) -> bytes:
        """Return so many bytes of the object that `stat` or `list` told of, fewer at its end.

        Raises ObjectMissing, and ObjectChanged if it was replaced since.
        """
        return self._read(entry, start_bytes, length_bytes)

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._do("write", key, lambda: self._backend.put(key, content))

    def put_new(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one; return False if there is.

        An answer that was lost on the way makes it False though it was written: compare what is
        there.
        """
        return self._do("write", key, lambda: self._backend.put_new(key, content))

    def list(self, prefix: str = "") -> list[Entry]:
        """Return the objects whose key begins with `prefix`, by key."""
        folder = prefix[: prefix.rfind("/") + 1]
        found = self._do("list", folder, lambda: self._backend.list(folder))
        return [entry for entry in found if entry.key.startswith(prefix)]

    def upload(self, path: str | Path, key: str) -> None:
        """Write an object from a file."""
        self._do("write", key, lambda: self._backend.upload(Path(path), key))

    def download(self, key: str, path: str | Path) -> Entry:
        """Write an object to a file, which appears when it is whole.

        Raises ObjectMissing, and ObjectChanged if it was replaced in between.
        """
        entry = self.stat(key)
        target = Path(path)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            with partial.open("xb") as file:
                for start in range(0, entry.size_bytes, _PIECE_BYTES):
                    file.write(self._read(entry, start, _PIECE_BYTES))
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return entry

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        self._do("remove", key, lambda: self._backend.delete(key))

    def _read(self, entry: Entry, start: int, length: int) -> bytes:
        length = min(length, entry.size_bytes - start)
        if length <= 0:
            return b""
        read = self._backend.read
        return self._do("read", entry.key, lambda: read(entry.key, start, length, entry.etag))

    def _do(self, verb: str, key: str, act: Callable[[], _T]) -> _T:
        _check(key)
        return self._patience.until_done(f"cannot {verb} {self.url_of(key)}", act)


def _backend(url: str, options: Mapping[str, str]) -> Backend:
    scheme, _, rest = url.partition("://")
    if not scheme or url.endswith(":") or _SLIP.match(url):
        raise NoStore(f"{url!r} {_WRITE}")
    if not rest:
        return _folder(Path(url))
    if scheme == "file":
        return _folder(Path(unquote(urlsplit(url).path)))
    if scheme not in _SCHEMES:
        raise NoStore(f"{url!r} {_WRITE}")
    from torpor.checkpoint.remote import Remote

    return Remote(url, options)


def _folder(path: Path) -> Backend:
    from torpor.checkpoint.folder import Folder

    return Folder(Path(os.path.abspath(path)))


def _check(key: str) -> None:
    """Refuse keys that would leave the store. The empty one is all of it."""
    if key and not _OUTSIDE.isdisjoint(key.removesuffix("/").split("/")):
        raise ValueError(f"{key[:200]!r} cannot be the key of an object")
