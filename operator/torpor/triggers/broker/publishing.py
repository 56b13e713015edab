"""Publishing to streams: done when the broker has stored it, and never twice under one id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import orjson
from nats.aio.msg import Msg

from torpor.errors import TorporError
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.api import TRANSIENT
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import (
    STORE_FULL,
    StoreFull,
    refusal,
)
from torpor.triggers.broker.link import NoResponders
from torpor.triggers.broker.room import Room

PUBLISH_SECONDS = 20.0
"""The deadline of a publish: longer than a leader's election takes (6.5 s were measured)."""
HEADER_ID = "Nats-Msg-Id"
_RETRY_SECONDS = 0.1
_ANSWER_SECONDS = 3.0
"""What was on its way to a leader that died is never answered: it is sent again after this."""
_MESSAGE_BYTES = 200
"""What a message takes beside its data, about."""
_PART_BYTES = 4 << 20
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


_Answer = asyncio.Future[Msg] | BrokerAway
"""An answer to come, or why nothing could be sent."""


class MessageTooLarge(TorporError):
    """More bytes than the broker takes as one message: put the data into the object store."""

    code = "message-too-large"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish. What has the same `msg_id` within two minutes is stored once."""

    subject: str
    data: bytes
    msg_id: str = ""
    headers: Mapping[str, str] = field(default_factory=lambda: _NO_HEADERS)

    def all_headers(self) -> dict[str, str] | None:
        """Return the headers as they are sent."""
        if self.msg_id:
            return {**self.headers, HEADER_ID: self.msg_id}
        return dict(self.headers) or None


@dataclass(frozen=True, slots=True)
class Stored:
    """The message is safe in its stream; `duplicate`: it was so before."""

    seq: int
    duplicate: bool


class Publish(Protocol):
    """One of a publisher's two ways for many messages."""

    async def __call__(
        self, messages: Sequence[Outgoing], *, deadline_seconds: float = PUBLISH_SECONDS
    ) -> list[Stored]:
        """Return when all are stored."""
        ...


class Publisher:
    """Publishes over one connection. Safe to use from many tasks at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        msg_id: str = "",
        headers: Mapping[str, str] = _NO_HEADERS,
        deadline_seconds: float = PUBLISH_SECONDS,
    ) -> Stored:
        """Return once the message is stored.

        Tried again until the deadline while nobody leads the stream, and, if it has an id, when a
        server does not answer or the connection is lost: without an id it might be stored twice.
        Raises BrokerAway (it may be stored nevertheless), BrokerFull (StoreFull also before the
        store is quite full), BrokerRefused and MessageTooLarge.
        """
        message = Outgoing(subject, data, msg_id, headers)
        (stored,) = await self.publish_batch([message], deadline_seconds=deadline_seconds)
        return stored

    async def publish_batch(
        self, messages: Sequence[Outgoing], *, deadline_seconds: float = PUBLISH_SECONDS
    ) -> list[Stored]:
        """Publish all, some megabytes at once, and return when all are stored, in their order.

        Within a subject the messages are stored in the order given, unless one has to be tried
        again. Raises as `publish` does: then any of them may be stored, or not.
        """
        deadline = time.monotonic() + deadline_seconds
        stored: list[Stored] = []
        for part in _parts(messages):
            self._admit(part)
            stored += await self._publish_part(part, deadline)
        return stored

    async def _publish_part(self, messages: Sequence[Outgoing], deadline: float) -> list[Stored]:
        stored: dict[int, Stored] = {}
        left = list(range(len(messages)))
        while True:
            found = await self._round([messages[index] for index in left], deadline)
            stored.update(
                (index, each)
                for index, each in zip(left, found, strict=True)
                if isinstance(each, Stored)
            )
            left = [index for index in left if index not in stored]
            if not left:
                return [stored[index] for index in range(len(messages))]
            await asyncio.sleep(_RETRY_SECONDS)

    async def publish_in_order(
        self, messages: Sequence[Outgoing], *, deadline_seconds: float = PUBLISH_SECONDS
    ) -> list[Stored]:
        """Publish so that within a subject each is stored before the next is sent.

        Slower than `publish_batch`, and in order even when some have to be tried again. Raises as
        `publish` does.
        """
        chains: dict[str, list[int]] = {}
        for index, message in enumerate(messages):
            chains.setdefault(message.subject, []).append(index)
        stored: dict[int, Stored] = {}

        async def chain(indices: Sequence[int]) -> None:
            for index in indices:
                one = [messages[index]]
                (stored[index],) = await self.publish_batch(one, deadline_seconds=deadline_seconds)

        results = await asyncio.gather(
            *(chain(indices) for indices in chains.values()),
            return_exceptions=True,
        )
        for result in results:
            if result is not None:
                raise result
        return [stored[index] for index in range(len(messages))]

    def _most_bytes(self, room: Room) -> float:
        return room.taking_bytes

    def _admit(self, messages: Sequence[Outgoing]) -> None:
        """StoreFull while what is left of the store is kept for what was taken before."""
        connection, room = self._connection, self._connection.room
        most_bytes = self._most_bytes(room)
        for message in messages:
            if text := room.refusal(message.subject, connection.admitted_bytes, most_bytes):
                connection.look_wanted.set()
                raise StoreFull(STORE_FULL, text)
        connection.admitted_bytes += sum(len(message.data) + _MESSAGE_BYTES for message in messages)
        if connection.room.is_outdated(connection.admitted_bytes):
            connection.look_wanted.set()

    async def _begin(self, message: Outgoing, deadline: float) -> _Answer:
        try:
            return await self._send(message, deadline)
        except BrokerAway as error:
            return error

    async def _round(
        self, messages: Sequence[Outgoing], deadline: float
    ) -> list[Stored | BrokerAway]:
        """Try all once; what may be tried again has its error as result, all else raises it."""
        answers: list[_Answer] = []
        results: list[Stored | BrokerAway] = []
        patience_seconds = _ANSWER_SECONDS
        try:
            for message in messages:
                answers.append(await self._begin(message, deadline))  # noqa: PERF401 - for finally
            for message, answer in zip(messages, answers, strict=True):
                try:
                    results.append(await _stored(message, answer, deadline, patience_seconds))
                except BrokerAway as error:
                    if not _may_retry(error, message, deadline):
                        raise
                    results.append(error)
                    patience_seconds = 0.0  # the others have had as long
            return results
        except StoreFull:
            self._connection.store_full = True
            self._connection.look_wanted.set()
            raise
        finally:
            _abandon(answers)

    async def _send(self, message: Outgoing, deadline: float) -> asyncio.Future[Msg]:
        link = await self._connection.link(max(0.0, deadline - time.monotonic()))
        headers = message.all_headers()
        size = len(message.data) + sum(len(k) + len(v) + 4 for k, v in (headers or {}).items())
        if size + 64 > link.max_payload_bytes:
            raise MessageTooLarge(
                f"{message.subject}: {size} bytes are more than the broker takes "
                f"({link.max_payload_bytes}); raise its max_payload, or send less"
            )
        return await link.send(message.subject, message.data, headers)


class ReservePublisher(Publisher):
    """For what is moved from one stream to another: it may use more of the store than the new."""

    def _most_bytes(self, room: Room) -> float:
        return room.moving_bytes


def _parts(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """Yield the messages in parts small enough that what is left of the store is known for each."""
    first = size_bytes = 0
    for index, message in enumerate(messages):
        if size_bytes > _PART_BYTES:
            yield messages[first:index]
            first, size_bytes = index, 0
        size_bytes += len(message.data)
    if first < len(messages):
        yield messages[first:]


async def _stored(
    message: Outgoing, answer: _Answer, deadline: float, patience_seconds: float
) -> Stored:
    """Wait for one answer; not to the deadline if the message can be sent again."""
    if isinstance(answer, BrokerAway):
        raise answer
    if not answer.done():
        now = time.monotonic()
        limit = min(deadline, now + patience_seconds) if message.msg_id else deadline
        try:
            async with asyncio.timeout(max(0.0, limit - now)):
                await answer
        except TimeoutError:
            raise BrokerAway(f"{message.subject} was not stored in time") from None
    return _read(answer.result())


def _read(answer: Msg) -> Stored:
    found: dict[str, Any] = orjson.loads(answer.data)
    if "error" not in found:
        return Stored(found["seq"], found.get("duplicate", False))
    error = refusal(found["error"])
    if error.err_code in TRANSIENT:
        raise NoResponders(str(error))
    raise error


def _may_retry(error: BrokerAway, message: Outgoing, deadline: float) -> bool:
    in_time = time.monotonic() + _RETRY_SECONDS < deadline
    return in_time and (isinstance(error, NoResponders) or bool(message.msg_id))


def _abandon(answers: Sequence[_Answer]) -> None:
    """Stop waiting; errors that nobody asks for are looked at, so that asyncio reports none."""
    for answer in answers:
        if isinstance(answer, BrokerAway):
            continue
        if not answer.done():
            answer.cancel()
        elif not answer.cancelled():
            answer.exception()
