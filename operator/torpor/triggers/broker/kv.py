"""Buckets of keys and values in JetStream: the layout of NATS' own (ADR-8 of its architecture).

A bucket is the stream `KV_<bucket>` with one message a key. A value's revision is its sequence in
that stream, and a write can be made to depend on it.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import (
    MESSAGE_NOT_FOUND,
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    BrokerRefused,
    WrongRevision,
)
from torpor.triggers.broker.link import NoResponders
from torpor.triggers.broker.publishing import Publisher

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"
_DELETED = frozenset({"DEL", "PURGE"})
_GONE = tuple(f"{_OPERATION}: {word}".encode() for word in _DELETED)
_NANOSECONDS = 1_000_000_000
_GET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value; None: it was deleted (seen by watchers only)."""

    key: str
    value: bytes | None
    revision: int


class Bucket:
    """One bucket. `ttl_seconds` 0: values stay until deleted; else that long after their write.

    The bucket is made, or brought up to date, at the first use. All methods raise BrokerAway.
    """

    def __init__(self, connection: Connection, name: str, ttl_seconds: float = 0) -> None:
        self.name = name
        self.ttl_seconds = ttl_seconds
        self._connection = connection
        self._publisher = Publisher(connection)
        self.stream = f"KV_{name}"
        self._made = False

    async def get(self, key: str) -> Entry | None:
        """Return the key's value, or None."""
        found = await self._last(key)
        return None if found is None or found.value is None else found

    async def put(self, key: str, value: bytes) -> int:
        """Write the value whatever is there, and return its revision."""
        return await self._write(key, value, {})

    async def create(self, key: str, value: bytes) -> int:
        """Write the value if the key has none; WrongRevision otherwise."""
        try:
            return await self._write(key, value, {_EXPECTED: "0"})
        except WrongRevision:
            found = await self._last(key)
            if found is not None and found.value is not None:
                raise
        return await self.update(key, value, 0 if found is None else found.revision)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Write the value if the key still has this revision; WrongRevision otherwise."""
        return await self._write(key, value, {_EXPECTED: str(revision)})

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Delete the key, if it still has this revision; WrongRevision otherwise."""
        headers = {_OPERATION: "DEL"}
        if revision is not None:
            headers[_EXPECTED] = str(revision)
        await self._write(key, b"", headers)

    async def keys(self) -> list[str]:
        """Return the keys that have a value."""
        return [entry.key for entry in await self.entries()]

    async def entries(self) -> list[Entry]:
        """Return all values, as they are when each is read."""
        await self.ensure()
        subjects = await self._subjects()
        found = [await self._last(self.key_of(subject)) for subject in subjects]
        return [entry for entry in found if entry is not None and entry.value is not None]

    async def purge(self, key: str) -> None:
        """Delete the key without leaving a trace: watchers are not told."""
        await self.ensure()
        subject = self.subject(names.checked_key(key))
        await call(self._connection, f"STREAM.PURGE.{self.stream}", {"filter": subject})

    async def _subjects(self) -> list[str]:
        found: list[str] = []
        while True:
            request = {"subjects_filter": ">", "offset": len(found)}
            answer = await call(self._connection, f"STREAM.INFO.{self.stream}", request)
            page = answer["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= answer.get("total", 0):
                return found

    async def last_seq(self) -> int:
        """Return the revision of the last write of any key."""
        await self.ensure()
        answer = await call(self._connection, f"STREAM.INFO.{self.stream}")
        return int(answer["state"]["last_seq"])

    def forget(self) -> None:
        """Look for the bucket again at the next use: it may be gone."""
        self._made = False

    def key_of(self, subject: str) -> str:
        """Return the key that a subject of the stream stands for."""
        return subject.removeprefix(self.subject(""))

    async def _last(self, key: str) -> Entry | None:
        """The last write of a key, read from the stream's leader: never an older one."""
        await self.ensure()
        request = {"last_by_subj": self.subject(names.checked_key(key))}
        try:
            answer = await call(
                self._connection, f"STREAM.MSG.GET.{self.stream}", request, _GET_SECONDS
            )
        except BrokerRefused as error:
            if error.err_code == STREAM_NOT_FOUND:
                self._made = False
            if error.err_code in (MESSAGE_NOT_FOUND, STREAM_NOT_FOUND):
                return None
            raise
        return _entry(key, answer["message"])

    async def _write(self, key: str, value: bytes, headers: dict[str, str]) -> int:
        await self.ensure()
        subject = self.subject(names.checked_key(key))
        try:
            stored = await self._publisher.publish(
                subject, value, msg_id=uuid.uuid4().hex, headers=headers
            )
            return stored.seq
        except NoResponders:
            self._made = False  # the next write makes the bucket again
            raise

    async def ensure(self) -> None:
        """Make the bucket unless this was done before."""
        if self._made:
            return
        config = self._config()
        try:
            await call(self._connection, f"STREAM.CREATE.{self.stream}", config)
        except BrokerRefused as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise
            await self._bring_up_to_date(config)
        self._made = True

    async def _bring_up_to_date(self, config: dict[str, object]) -> None:
        current = (await call(self._connection, f"STREAM.INFO.{self.stream}"))["config"]
        if (wanted := {**current, **config}) != current:
            await call(self._connection, f"STREAM.UPDATE.{self.stream}", wanted)

    def _config(self) -> dict[str, object]:
        age = int(self.ttl_seconds * _NANOSECONDS)
        window = 120 * _NANOSECONDS
        return {
            "name": self.stream,
            "subjects": [self.subject(">")],
            "retention": "limits",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "max_age": age,
            "duplicate_window": min(age, window) if age else window,
            "discard": "new",
            "num_replicas": self._connection.settings.replicas,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
        }

    def subject(self, key: str) -> str:
        """Return the subject of a key, or of many: `*` and `>` are allowed."""
        return f"$KV.{self.name}.{key}"


def _entry(key: str, message: dict[str, object]) -> Entry:
    """`hdrs` and `data` are base64 in the API's answer, and left out when empty."""
    headers = base64.b64decode(str(message.get("hdrs", "")))
    gone = any(word in headers for word in _GONE)
    value = None if gone else base64.b64decode(str(message.get("data", "")))
    return Entry(key, value, int(str(message["seq"])))


def is_deletion(headers: Mapping[str, str] | None) -> bool:
    """Whether a message of a bucket's stream says that its key has no value any more.

    The server's own marks, for what it deleted by age, carry a reason instead of an operation.
    """
    found = headers or {}
    return found.get(_OPERATION) in _DELETED or "Nats-Marker-Reason" in found
