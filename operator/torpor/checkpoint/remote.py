"""Stores that are reached over HTTP, through obstore: S3, GCS, Azure.

obstore is imported when such a store is opened: who uses a folder does not need it. It tries a
request again by itself for a few seconds, so that one lost part does not restart a large upload;
longer outages are the business of `Patience`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from torpor.checkpoint.errors import ObjectChanged, StoreRefused
from torpor.checkpoint.refusals import meaning, too_large
from torpor.checkpoint.store import Entry

_RETRY = {
    "max_retries": 2,
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
    "retry_timeout": timedelta(seconds=60),
}
_CLIENT = {"connect_timeout": "5s", "read_timeout": "60s", "timeout": "180s"}
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3")


class Remote:
    """A bucket, or a folder of one."""

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        from obstore.exceptions import BaseError

        self._url = url
        self._errors = (BaseError, OSError, ValueError)
        with self._meaning():
            self._store = _opened(url, options)

    def stat(self, key: str) -> Entry:
        """Return what is known of an object."""
        import obstore

        with self._meaning(key):
            try:
                return _entry(obstore.head(self._store, key), key)
            except (FileNotFoundError, obstore.exceptions.PermissionDeniedError):
                # HEAD has no body, so it does not say what is missing or why: GET does.
                return _entry(obstore.get(self._store, key).meta, key)

    def get(self, key: str, most_bytes: int) -> bytes:
        """Return the whole of an object that is not larger than that."""
        import obstore

        with self._meaning(key):
            answer = obstore.get(self._store, key)
            if answer.meta["size"] > most_bytes:
                raise too_large(f"{self._url}/{key}", answer.meta["size"])
            return bytes(answer.bytes())

    def read(self, key: str, start: int, length: int, etag: str) -> bytes:
        """Return bytes of an object of that ETag."""
        import obstore

        options: Any = {"range": (start, start + length), **({"if_match": etag} if etag else {})}
        with self._meaning(key):
            try:
                return bytes(obstore.get(self._store, key, options=options).bytes())
            except obstore.exceptions.PreconditionError:
                raise ObjectChanged(f"{self._url}/{key} was replaced while it was read") from None

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        import obstore

        with self._meaning(key):
            obstore.put(self._store, key, content, use_multipart=False)

    def put_new(self, key: str, content: bytes) -> bool:
        """Write an object unless there is one."""
        import obstore

        with self._meaning(key):
            try:
                obstore.put(self._store, key, content, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
        return True

    def upload(self, path: Path, key: str) -> None:
        """Write an object from a file, in parts if it is large."""
        import obstore

        path.stat()
        with self._meaning(key):
            obstore.put(
                self._store, key, path, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )

    def delete(self, key: str) -> None:
        """Remove an object; the stores are content if there is none."""
        import obstore

        with self._meaning(key), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def list(self, folder: str) -> list[Entry]:
        """Return the objects below a folder."""
        import obstore

        with self._meaning(folder):
            found = obstore.list(self._store, prefix=folder or None)
            entries = [_entry(meta, str(meta["path"])) for chunk in found for meta in chunk]
        return sorted(entries, key=lambda entry: entry.key)

    @contextlib.contextmanager
    def _meaning(self, key: str = "") -> Iterator[None]:
        """Raise what an error of the store means instead of the error."""
        try:
            yield
        except self._errors as error:
            raise meaning(f"{self._url}/{key}".rstrip("/"), error) from error


def _opened(url: str, options: Mapping[str, str]) -> Any:
    """Return obstore's store. An http:// endpoint says by itself that plain HTTP is meant."""
    from obstore.store import from_url

    settings = {key.upper(): value for key, value in options.items()}
    plain = any(
        (settings | dict(os.environ)).get(at, "").startswith("http://") for at in _ENDPOINTS
    )
    allowed = settings.pop("AWS_ALLOW_HTTP", os.environ.get("AWS_ALLOW_HTTP", ""))
    client: Any = {**_CLIENT, "allow_http": plain or allowed.lower() in ("true", "1")}
    config: Any = {key.lower(): value for key, value in settings.items()}
    retry: Any = _RETRY
    try:
        return from_url(url, config=config or None, client_options=client, retry_config=retry)
    except TypeError as error:
        raise StoreRefused(f"{url}: {error}") from error


def _entry(meta: Any, key: str) -> Entry:
    return Entry(key, int(meta["size"]), str(meta.get("e_tag") or ""))
