"""Claim check: data too large for an event is kept beside, and the event says where.

The reference goes into the CloudEvents extension `dataref` (CloudEvents Dataref extension). Kept in
JetStream it is `nats:<id>:<chunks>` and lives 21 days unless it is renewed; with an object store
configured, it is an object of that, which lives until somebody deletes it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Protocol

import obstore
from obstore.store import from_url

from torpor.errors import TorporError
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.publishing import Outgoing, Publisher, ReservePublisher
from torpor.triggers.broker.reading import Kept, read_from, remove

LARGE_BYTES = 512 * 1024
"""Data above this is not carried in the event itself."""
MAX_OBJECT_BYTES = 64 << 20
"""Of an event's data, which is whole in memory wherever it is used."""
MAX_RAW_BYTES = 512 << 20
"""Of what is kept for people alone, such as the bytes of a dead letter."""
_CHUNK_BYTES = 512 * 1024
_CHUNKS_AT_ONCE = 16
_MOST_DIGITS = 4
"""Of the number of chunks."""
_STORE_SECONDS = 60.0
_SCHEME = "nats:"


class ObjectMissing(TorporError):
    """The data an event refers to is no longer there."""

    code = "object-missing"


class ObjectTooLarge(TorporError):
    """Data above the limit: put it into an object store yourself and send its address."""

    code = "object-too-large"


class Objects(Protocol):
    """Where large data is kept."""

    async def put(self, data: bytes) -> str:
        """Keep an event's data and return its reference.

        Raises BrokerAway, BrokerRefused and ObjectTooLarge.
        """
        ...

    async def set_aside(self, raw: bytes) -> str:
        """Keep bytes for people, up to MAX_RAW_BYTES; the same bytes have the same reference."""
        ...

    async def get(self, reference: str) -> bytes:
        """Return the data of a reference. Raises BrokerAway and ObjectMissing."""
        ...

    def pieces(self, reference: str) -> AsyncIterator[bytes]:
        """Yield the data of a reference piece by piece. Raises as `get`."""
        ...


class StreamObjects:
    """In JetStream: one message for each 512 KiB, under `torpor.objects.<id>.<number>`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._publisher = Publisher(connection)
        self._renewing = ReservePublisher(connection)

    async def put(self, data: bytes) -> str:
        """Keep the data; all of it is stored when the reference is returned."""
        _check(data, MAX_OBJECT_BYTES)
        return await self._put(uuid.uuid4().hex, data)

    async def set_aside(self, raw: bytes) -> str:
        """Keep the bytes under their hash."""
        _check(raw, MAX_RAW_BYTES)
        return await self._put(await asyncio.to_thread(_digest, raw), raw)

    async def get(self, reference: str) -> bytes:
        """Return the data, in one piece."""
        _, count = _parsed(reference)
        if count * _CHUNK_BYTES > MAX_OBJECT_BYTES + _CHUNK_BYTES:
            raise ObjectMissing(f"{reference} is larger than what an event refers to")
        return b"".join([chunk async for chunk in self.pieces(reference)])

    async def pieces(self, reference: str) -> AsyncIterator[bytes]:
        """Yield the data, chunk by chunk."""
        name, count = _parsed(reference)
        for number in range(count):
            yield await self._chunk(name, number)

    async def renew(self, reference: str, before_seconds: float) -> bool:
        """Have what was kept before this Unix time live anew; return whether there was such.

        Raises BrokerAway and BrokerRefused. What is gone already is left so, and what is no
        reference of this store is none of its business.
        """
        try:
            name, count = _parsed(reference)
        except ObjectMissing:
            return False
        renewed = False
        for number in range(count):
            kept = await read_from(self._connection, names.OBJECT_STREAM, _subject(name, number), 1)
            if kept is None:
                break
            if kept.stored_seconds < before_seconds:
                await self._renew_chunk(f"{name}.{number}.{kept.seq}", kept)
                renewed = True
        return renewed

    async def _renew_chunk(self, msg_id: str, kept: Kept) -> None:
        await self._renewing.publish(kept.subject, kept.data, msg_id=msg_id)
        await remove(self._connection, names.OBJECT_STREAM, kept.seq)

    async def _put(self, name: str, data: bytes) -> str:
        """Some chunks at a time: what is on its way is in memory a second time."""
        starts = range(0, max(1, len(data)), _CHUNK_BYTES)
        for first in range(0, len(starts), _CHUNKS_AT_ONCE):
            await self._publisher.publish_batch(
                [
                    Outgoing(
                        _subject(name, number), data[at : at + _CHUNK_BYTES], f"{name}.{number}"
                    )
                    for number, at in enumerate(starts[first : first + _CHUNKS_AT_ONCE], first)
                ]
            )
        return f"{_SCHEME}{name}:{len(starts)}"

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
        _check(data, MAX_OBJECT_BYTES)
        return await self._put(f"events/{uuid.uuid4().hex}", data)

    async def set_aside(self, raw: bytes) -> str:
        """Keep the bytes as an object named by their hash."""
        _check(raw, MAX_RAW_BYTES)
        return await self._put(f"events/{await asyncio.to_thread(_digest, raw)}", raw)

    async def _put(self, name: str, data: bytes) -> str:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await obstore.put_async(self._store, name, data)
        except (obstore.exceptions.BaseError, OSError, TimeoutError) as error:
            raise BrokerAway(f"the object store is away: {error}") from error
        return f"{self._url}/{name}"

    async def get(self, reference: str) -> bytes:
        """Return the object's bytes."""
        return b"".join([piece async for piece in self.pieces(reference)])

    async def pieces(self, reference: str) -> AsyncIterator[bytes]:
        """Yield the object's bytes as they come."""
        if not reference.startswith(f"{self._url}/events/"):
            raise ObjectMissing(f"{reference[:200]!r} is not in {self._url}")
        name = reference.removeprefix(f"{self._url}/")
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                found = await obstore.get_async(self._store, name)
            stream = aiter(found.stream())
            while piece := await asyncio.wait_for(anext(stream, None), _STORE_SECONDS):
                yield bytes(piece)
        except (obstore.exceptions.NotFoundError, FileNotFoundError):
            raise ObjectMissing(f"{reference} is kept no longer") from None
        except (obstore.exceptions.BaseError, OSError, TimeoutError) as error:
            raise BrokerAway(f"the object store is away: {error}") from error


def open_objects(connection: Connection, url: str = "") -> Objects:
    """Return the object store at `url`, or JetStream's without one."""
    return StoreObjects(url) if url else StreamObjects(connection)


def _check(data: bytes, most_bytes: int) -> None:
    if len(data) > most_bytes:
        raise ObjectTooLarge(
            f"{len(data)} bytes are more than {most_bytes}: "
            "put the data into an object store and send its address"
        )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _parsed(reference: str) -> tuple[str, int]:
    """Return the name and the number of chunks; ObjectMissing for what is no reference."""
    name, _, count = reference.removeprefix(_SCHEME).partition(":")
    if (
        not reference.startswith(_SCHEME)
        or not (name.isalnum() and count.isdigit())
        or len(count) > _MOST_DIGITS
    ):
        raise ObjectMissing(f"{reference[:200]!r} is no reference of this store")
    return name, int(count)


def _subject(name: str, number: int) -> str:
    return f"torpor.objects.{name}.{number}"
