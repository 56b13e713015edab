"""What a bucket holds, by listing it, in any store that obstore reaches.

A bucket is a folder below a `file:` store, and a bucket of its own in the others, reached with the
credentials of a Secret, or with those of the environment as the store itself is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from torpor.errors import TorporError
from torpor.triggers.base import SourceAway, SourceMisconfigured
from torpor.triggers.sources.known import MOST_KEYS
from torpor.triggers.sources.storage_access import RETRIES, StorageAccess
from torpor.triggers.sources.storage_change import ObjectChange, Operation, StorageRule, trace_in
from torpor.triggers.sources.storage_folder import FolderListing

HEADS: Final = 32
"""So many objects are asked for their metadata at a time."""
_LIST_SECONDS: Final = 120.0
_HEADS_SECONDS: Final = 60.0
_MARK_BYTES: Final = 8
_CHUNK: Final = 1000
_LONGEST_TEXT: Final = 300
_MISSING: Final = (NotFoundError, FileNotFoundError)
_FORBIDDEN: Final = (PermissionDeniedError, UnauthenticatedError, PermissionError)
_FORBIDDEN_CODES: Final = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")


@dataclass(frozen=True, slots=True)
class Seen:
    """One object. `mark` changes with it; `modified` is when it was written."""

    key: str
    mark: str
    size_bytes: int
    etag: str | None
    version_id: str | None
    modified: datetime

    def created(self, bucket: str) -> ObjectChange:
        """Return the change by which it came to be as it is."""
        return ObjectChange(
            bucket=bucket,
            key=self.key,
            operation=Operation.CREATED,
            time=rfc3339(self.modified),
            told=self.mark,
            size_bytes=self.size_bytes,
            etag=self.etag,
            version_id=self.version_id,
        )


class Bucket:
    """The bucket of a rule. What its methods raise is SourceAway, or SourceMisconfigured.

    The latter when there is no such bucket, it may not be read, or the rule covers more than
    MOST_KEYS.
    """

    def __init__(self, url: str, rule: StorageRule, access: StorageAccess | None = None) -> None:
        self._url = url
        self._rule = rule
        self._access = access
        self._store: Any = None
        self._folder = FolderListing(Path(urlsplit(url).path) / rule.bucket)

    async def objects(self) -> dict[str, Seen]:
        """Return the objects that the rule covers, by key."""
        async with self._understood(_LIST_SECONDS):
            # Opened each time: a folder that is gone must not look like one that is empty.
            self._store = self._opened()
            return await _listed(_chunks(self._store, self._rule.prefix), self._rule)

    def _opened(self) -> Any:
        if self._access is not None:
            return self._access.bucket(self._rule.bucket)
        parts = urlsplit(self._url)
        if parts.scheme != "file":
            return from_url(f"{parts.scheme}://{self._rule.bucket}", retry_config=RETRIES)
        if not self._folder.folder.is_dir():
            raise FileNotFoundError(str(self._folder.folder))
        return self._folder

    async def traced(self, seen: Sequence[Seen]) -> list[ObjectChange]:
        """Return how these objects came to be, each with the trace in its metadata."""
        async with self._understood(_HEADS_SECONDS):
            traces = await asyncio.gather(*(self._trace(each.key) for each in seen))
        return [
            replace(each.created(self._rule.bucket), traceparent=trace)
            for each, trace in zip(seen, traces, strict=True)
        ]

    async def _trace(self, key: str) -> str | None:
        if isinstance(self._store, FolderListing):
            return trace_in(await asyncio.to_thread(self._store.metadata, key))
        try:
            found = await self._store.get_async(key, options={"head": True})
        except _MISSING:
            return None  # removed since
        return trace_in(found.attributes)

    @contextlib.asynccontextmanager
    async def _understood(self, seconds: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            text = f"the bucket {self._rule.bucket!r} was not read in {seconds:g} s"
            raise SourceAway(text) from None
        except (BaseError, OSError) as error:
            raise _reason(error, self._rule.bucket) from error


async def _chunks(store: Any, prefix: str) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """A store lists whole path segments: what comes need not have the rest of the prefix."""
    if isinstance(store, FolderListing):
        entries = store.entries(prefix)
        while chunk := await asyncio.to_thread(lambda: list(itertools.islice(entries, _CHUNK))):
            yield chunk
        return
    folder, slash, _ = prefix.rpartition("/")
    async for chunk in store.list(prefix=folder + slash or None):
        yield chunk


async def _listed(
    chunks: AsyncIterator[Sequence[Mapping[str, Any]]], rule: StorageRule
) -> dict[str, Seen]:
    found: dict[str, Seen] = {}
    async for chunk in chunks:
        for meta in chunk:
            if rule.covers(str(meta["path"])):
                seen = _seen(meta)
                found[seen.key] = seen
        if len(found) > MOST_KEYS:
            text = f"more than {MOST_KEYS} objects: give spec.source.storage.prefix, or do not poll"
            raise SourceMisconfigured(text)
    return found


def _reason(error: Exception, bucket: str) -> TorporError:
    """Return what is told. Of a failed listing obstore has S3's answer only in its text."""
    text = str(error)
    if isinstance(error, _MISSING) or "<Code>NoSuchBucket<" in text:
        return SourceMisconfigured(f"there is no bucket {bucket!r}: create it")
    if isinstance(error, _FORBIDDEN) or any(f"<Code>{code}<" in text for code in _FORBIDDEN_CODES):
        return SourceMisconfigured(
            f"the bucket {bucket!r} may not be read: allow it to Torpor's credentials"
        )
    first_line = text.partition("\n")[0][:_LONGEST_TEXT]
    return SourceAway(f"the bucket {bucket!r} cannot be read: {first_line}")


def _seen(meta: Mapping[str, Any]) -> Seen:
    etag = str(meta.get("e_tag") or "").strip('"') or None
    modified: datetime = meta["last_modified"]
    size = int(meta["size"])
    text = f"{etag} {modified.timestamp()} {size} {meta.get('version')}"
    return Seen(
        key=str(meta["path"]),
        mark=hashlib.blake2b(text.encode(), digest_size=_MARK_BYTES).hexdigest(),
        size_bytes=size,
        etag=etag,
        version_id=meta.get("version") or None,
        modified=modified,
    )


def rfc3339(instant: datetime) -> str:
    """Return an instant as RFC 3339 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
