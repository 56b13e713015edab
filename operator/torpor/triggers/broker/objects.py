"""Claim check: data too large for an event is kept beside, and the event says where.

The reference goes into the CloudEvents extension `dataref` (CloudEvents Dataref extension). Kept in
JetStream it is `nats:<id>` and lives 14 days; with an object store configured, an object of it.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from typing import Protocol

import obstore
from obstore.store import from_url

from torpor.errors import TorporError
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.publishing import Outgoing, Publisher

LARGE_BYTES = 512 * 1024
"""Data above this is not carried in the event itself."""
MAX_OBJECT_BYTES = 64 << 20
_CHUNK_BYTES = 512 * 1024
_STORE_SECONDS = 60.0
_SCHEME = "nats:"


class ObjectMissing(TorporError):
    """The data an event refers to is no longer there."""

    code = "object-missing"


class ObjectTooLarge(TorporError):
    """Data above 64 MiB: put it into an object store yourself and send its address."""

    code = "object-too-large"


class Objects(Protocol):
    """Where large data is kept."""

    async def put(self, data: bytes) -> str:
        """Keep the data and return its reference. Raises BrokerAway and ObjectTooLarge."""
        ...

    async def get(self, reference: str) -> bytes:
        """Return the data of a reference. Raises BrokerAway and ObjectMissing."""
        ...


class StreamObjects:
    """In JetStream: one message for each 512 KiB, under `torpor.objects.<id>.<number>`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._publisher = Publisher(connection)

    async def put(self, data: bytes) -> str:
        """Keep the data; all of it is stored when the reference is returned."""
        _check(data)
        name = uuid.uuid4().hex
        starts = range(0, max(1, len(data)), _CHUNK_BYTES)
        await self._publisher.publish_batch(
            [
                Outgoing(_subject(name, number), data[at : at + _CHUNK_BYTES], f"{name}.{number}")
                for number, at in enumerate(starts)
            ]
        )
        return f"{_SCHEME}{name}:{len(starts)}"

    async def get(self, reference: str) -> bytes:
        """Return the data, in one piece."""
        name, _, count = reference.removeprefix(_SCHEME).partition(":")
        if not reference.startswith(_SCHEME) or not (name.isalnum() and count.isdigit()):
            raise ObjectMissing(f"{reference[:200]!r} is no reference of this store")
        if int(count) * _CHUNK_BYTES > MAX_OBJECT_BYTES + _CHUNK_BYTES:
            raise ObjectMissing(f"{reference[:200]!r} is no reference of this store")
        chunks = [await self._chunk(name, number) for number in range(int(count))]
        return b"".join(chunks)

    async def _chunk(self, name: str, number: int) -> bytes:
        request = {"last_by_subj": _subject(name, number)}
        try:
            found = await call(self._connection, f"STREAM.MSG.GET.{names.OBJECT_STREAM}", request)
        except BrokerRefused as error:
            if error.err_code in (MESSAGE_NOT_FOUND, STREAM_NOT_FOUND):
                raise ObjectMissing(f"{_SCHEME}{name} is kept no longer") from None
            raise
        return base64.b64decode(found["message"].get("data", ""))


class StoreObjects:
    """In an object store: S3, GCS, Azure or a folder, by the URL that obstore takes."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._store = from_url(self._url)

    async def put(self, data: bytes) -> str:
        """Keep the data as an object of a new name."""
        _check(data)
        name = f"events/{uuid.uuid4().hex}"
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await obstore.put_async(self._store, name, data)
        except (obstore.exceptions.BaseError, OSError, TimeoutError) as error:
            raise BrokerAway(f"the object store is away: {error}") from error
        return f"{self._url}/{name}"

    async def get(self, reference: str) -> bytes:
        """Return the object's bytes."""
        if not reference.startswith(f"{self._url}/events/"):
            raise ObjectMissing(f"{reference[:200]!r} is not in {self._url}")
        name = reference.removeprefix(f"{self._url}/")
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                found = await obstore.get_async(self._store, name)
                return bytes(await found.bytes_async())
        except (obstore.exceptions.NotFoundError, FileNotFoundError):
            raise ObjectMissing(f"{reference} is kept no longer") from None
        except (obstore.exceptions.BaseError, OSError, TimeoutError) as error:
            raise BrokerAway(f"the object store is away: {error}") from error


def open_objects(connection: Connection, url: str = "") -> Objects:
    """Return the object store at `url`, or JetStream's without one."""
    return StoreObjects(url) if url else StreamObjects(connection)


def _check(data: bytes) -> None:
    if len(data) > MAX_OBJECT_BYTES:
        raise ObjectTooLarge(
            f"{len(data)} bytes are more than {MAX_OBJECT_BYTES}: "
            "put the data into an object store and send its address"
        )


def _subject(name: str, number: int) -> str:
    return f"torpor.objects.{name}.{number}"
