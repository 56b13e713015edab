"""The object store that workflows read and write: a local folder, or S3 and others by URL.

A bucket is the first part of the path below the store's root, so that one store holds them all.
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


class ObjectStore(Protocol):
    """Objects by bucket and key."""

    async def get(self, bucket: str, key: str) -> bytes:
        """The content; raises NoObject, StoreFailed."""

    async def put(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object and return its ETag; raises StoreFailed."""

    def list(self, bucket: str, prefix: str) -> AsyncIterator[Entry]:
        """The objects whose key begins with `prefix`, by key; raises StoreFailed."""


def open_store(url: str, options: Mapping[str, str] | None = None) -> ObjectStore:
    """The store that a URL names (`file:///var/lib/torpor/objects`, `s3://bucket/prefix`)."""
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        folder.mkdir(parents=True, exist_ok=True)
        return Obstore(LocalStore(folder, mkdir=True))
    return Obstore(from_url(url, config=dict(options or {})))  # type: ignore[call-overload]


class Obstore:
    """Objects in any store that obstore can reach."""

    def __init__(self, store: Any) -> None:
        self._store = store

    async def get(self, bucket: str, key: str) -> bytes:
        """The content of an object."""
        path = _path(bucket, key)
        try:
            answer = await self._store.get_async(path)
            return bytes(await answer.bytes_async())
        except (NotFoundError, FileNotFoundError):
            raise NoObject(f"The specified key does not exist: s3://{path}") from None
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error

    async def put(self, bucket: str, key: str, content: bytes) -> str:
        """Write an object."""
        try:
            answer = await self._store.put_async(_path(bucket, key), content)
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        return str(answer.get("e_tag") or "")

    async def list(self, bucket: str, prefix: str) -> AsyncIterator[Entry]:
        """List by key. The store lists whole path segments, so the rest is compared here."""
        root = _path(bucket, "")
        folder = f"{root}{prefix.rpartition('/')[0]}".rstrip("/")
        found: list[Entry] = []
        try:
            async for chunk in self._store.list(prefix=f"{folder}/"):
                found += [_entry(meta, root) for meta in chunk]
        except (BaseError, OSError) as error:
            raise StoreFailed(str(error)) from error
        for entry in sorted(found, key=lambda entry: entry.key):
            if entry.key.startswith(prefix):
                yield entry


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
