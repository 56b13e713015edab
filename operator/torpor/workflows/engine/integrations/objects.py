"""The object store that workflows read and write: a local folder, or S3 and others by URL.

A bucket is a folder of the store, so that one store holds them all: `<bucket>/<key>` where one
person is alone with it, `<namespace>/<bucket>/<key>` where Workflows of several namespaces share
it. None of those can name the objects of another namespace.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, from_url

from torpor.resources.names import METADATA_FOLDER

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MOST_CONTENT_BYTES = 64 * 1_048_576
"""The largest object that is read: it is in memory as a whole."""
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class NoObject(Exception):
    """There is no such object."""


class StoreFailed(Exception):
    """The store did not do what was asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a listing; size in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


class Objects(Protocol):
    """Objects by bucket and key."""

    async def get(self, bucket: str, key: str) -> bytes:
        """The content; raises NoObject, StoreFailed (also for one that is too large)."""

    async def put(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object and return its ETag; raises StoreFailed."""

    def list(self, bucket: str, prefix: str) -> AsyncIterator[Entry]:
        """The objects whose key begins with `prefix`, by key; raises StoreFailed."""


class ObjectStore(Protocol):
    """The objects that the Workflows of each namespace see."""

    def of(self, namespace: str) -> Objects:
        """Those of one namespace; raises StoreFailed for what cannot be a namespace."""


def open_store(url: str, options: Mapping[str, str] | None = None) -> Obstore:
    """The store that a URL names (`file:///var/lib/torpor/objects`, `s3://bucket/prefix`).

    Every namespace sees all of it.
    """
    return Obstore(_opened(url, options))


def open_divided_store(url: str, options: Mapping[str, str] | None = None) -> DividedStore:
    """The same with a folder for each namespace, which sees nothing else."""
    return DividedStore(_opened(url, options))


def _opened(url: str, options: Mapping[str, str] | None) -> Any:
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return LocalStore(folder, mkdir=True)
    return from_url(url, config=dict(options or {}))  # type: ignore[call-overload]


class DividedStore:
    """A folder for each namespace in any store that obstore can reach."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def of(self, namespace: str) -> Objects:
        """The objects in the folder of a namespace."""
        if not _NAMESPACE.fullmatch(namespace):
            raise StoreFailed(f"{namespace!r} is not the name of a namespace")
        return Obstore(self._store, f"{namespace}/")


class Obstore:
    """Objects in any store that obstore can reach; `folder` ends with a slash, or is the root."""

    def __init__(self, store: Any, folder: str = "") -> None:
        self._store = store
        self._folder = folder

    def of(self, namespace: str) -> Objects:
        """All objects, whatever the namespace."""
        del namespace
        return self

    async def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        path = _path(bucket, key)
        try:
            answer = await self._store.get_async(self._folder + path)
            if answer.meta["size"] <= MOST_CONTENT_BYTES:
                return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError):
            raise NoObject(f"The specified key does not exist: s3://{path}") from None
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        raise StoreFailed(f"s3://{path} has more than {MOST_CONTENT_BYTES} bytes: divide it")

    async def put(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object."""
        try:
            answer = await self._store.put_async(self._folder + _path(bucket, key), content)
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        return str(answer.get("e_tag") or "")

    async def list(self, bucket: str, prefix: str) -> AsyncIterator[Entry]:
        """List by key. The store lists whole path segments, so the rest is compared here."""
        root = self._folder + _path(bucket, "")
        folder = f"{root}{prefix.rpartition('/')[0]}".rstrip("/")
        found: list[Entry] = []
        try:
            async for chunk in self._store.list(prefix=f"{folder}/"):
                found += [_entry(meta, root) for meta in chunk]
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        for entry in sorted(found, key=lambda entry: entry.key):
            if entry.key.startswith(prefix) and not self._is_metadata(entry.key):
                yield entry

    def _is_metadata(self, key: str) -> bool:
        return isinstance(self._store, LocalStore) and key.startswith(f"{METADATA_FOLDER}/")


def _entry(meta: Mapping[str, Any], root: str) -> Entry:
    key = str(meta["path"]).removeprefix(root)
    return Entry(key, int(meta["size"]), str(meta.get("e_tag") or ""), meta["last_modified"])


def _path(bucket: str, key: str) -> str:
    """The path of an object; raises StoreFailed for a name that would leave its bucket."""
    if not _BUCKET.fullmatch(bucket):
        raise StoreFailed(f"{bucket!r} is not the name of a bucket")
    if any(part in ("..", ".") for part in key.split("/")):
        raise StoreFailed(f"{key!r} is not the key of an object")
    return f"{bucket}/{key}"
