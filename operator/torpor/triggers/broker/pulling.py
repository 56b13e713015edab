"""Taking messages from a stream, as many as there is room for, through restarts of the broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import orjson
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from torpor.triggers.base import BrokerAway
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.delivered import read_reply
from torpor.triggers.broker.link import Link, status_of
from torpor.triggers.broker.streams import ConsumerSpec, Streams

_NANOSECONDS = 1_000_000_000
_LINGER_SECONDS = 10.0
"""The longest a request waits at the server: one lost in an election costs at most this."""
_ANSWER_SECONDS = 2.0
_SILENCE_SECONDS = 0.1
"""After a message: the server says nothing when `max_ack_pending` keeps it from sending more."""
_RETRY_SECONDS = 0.1
_NONE_NOW = frozenset({"404", "408"})


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of one stored message.

    `delivered` counts the deliveries of its consumer, from 1; `inherited` ones were stored before
    that consumer was made, and another may have delivered them. `stored_seconds` is the Unix time
    at which it was stored. The four methods raise BrokerAway when the connection on which the
    message came is lost: it is then delivered again.
    """

    stream: str
    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, str]
    delivered: int
    stored_seconds: float
    inherited: bool
    _link: Link
    _reply: str

    @property
    def receipt(self) -> str:
        """What `broker/receipts.py` answers for the message with, from any process."""
        return self._reply

    async def ack(self) -> None:
        """Have it done: a work queue forgets it."""
        await self._say(b"+ACK")

    async def nak(self, delay_seconds: float = 0.0) -> None:
        """Have it delivered again, `delay_seconds` from now at the earliest."""
        if delay_seconds <= 0:
            return await self._say(b"-NAK")
        delay = orjson.dumps({"delay": int(delay_seconds * _NANOSECONDS)})
        return await self._say(b"-NAK " + delay)

    async def term(self) -> None:
        """Have it never delivered again: a work queue forgets it."""
        await self._say(b"+TERM")

    async def in_progress(self) -> None:
        """Begin its ack wait anew."""
        await self._say(b"+WPI")

    async def _say(self, word: bytes) -> None:
        if self._link.lost.is_set():
            raise BrokerAway("the connection on which the message came was lost")
        await self._link.publish(self._reply, word)


class PullConsumer:
    """One durable consumer, which any number of replicas may pull from. One `fetch` at a time."""

    def __init__(self, connection: Connection, streams: Streams, spec: ConsumerSpec) -> None:
        self.spec = spec
        self._connection = connection
        self._streams = streams
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{spec.stream}.{spec.name}"
        self._inbox: _Inbox | None = None
        self._exists = False
        self._made_seconds = 0.0

    async def fetch(self, maximum: int, wait_seconds: float) -> list[Message]:
        """Return 1 to `maximum` messages, at once if there are any, else none after the wait.

        A lost connection, server or consumer is waited for, and made again, within the wait;
        BrokerAway when it is still away at its end, BrokerRefused when the stream is gone.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            remaining = max(0.05, deadline - time.monotonic())
            try:
                found = await self._round(maximum, remaining)
            except BrokerAway:
                if time.monotonic() + _RETRY_SECONDS >= deadline:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if found or time.monotonic() >= deadline:
                return found

    async def fetch_one(self, wait_seconds: float) -> list[Message]:
        """Return the next message if it comes within the wait, which the server holds to.

        What is not there by then is not delivered: `fetch` may leave a request behind that takes
        it. A consumer that is gone is made again, once. Raises as `fetch` does.
        """
        try:
            return await self._within(wait_seconds)
        except BrokerAway:
            return await self._within(wait_seconds)

    async def _within(self, wait_seconds: float) -> list[Message]:
        inbox = await self._listening(wait_seconds)
        await self._exist()
        return await self._ask(inbox, 1, wait_seconds)

    async def close(self) -> None:
        """Stop listening. The consumer stays, and what was fetched may still be acknowledged.

        What came and was not fetched, a fetch having been cancelled, is given back.
        """
        inbox, self._inbox = self._inbox, None
        if inbox is not None and not inbox.link.lost.is_set():
            await inbox.link.drain(inbox.subscription)
            for message in inbox.left():
                await self._parsed(inbox.link, message).nak()

    async def _round(self, maximum: int, remaining_seconds: float) -> list[Message]:
        """Ask for what is there; if that is nothing, for the next one, and what came with it."""
        inbox = await self._listening(remaining_seconds)
        await self._exist()
        found = await self._ask(inbox, maximum, 0.0)
        if found:
            return found
        linger = min(_LINGER_SECONDS, remaining_seconds)
        found = await self._ask(inbox, 1, linger)
        if found and maximum > 1:
            found += await self._ask(inbox, maximum - 1, 0.0)
        return found

    async def _exist(self) -> None:
        if not self._exists:
            self._made_seconds = await self._streams.ensure_consumer(self.spec)
            self._exists = True

    async def _listening(self, wait_seconds: float) -> _Inbox:
        inbox = self._inbox
        if inbox is None or inbox.link.lost.is_set():
            link = await self._connection.link(wait_seconds)
            inbox = await _Inbox.open(link)
            self._inbox = inbox
        return inbox

    async def _ask(self, inbox: _Inbox, batch: int, linger_seconds: float) -> list[Message]:
        request: dict[str, object] = {"batch": batch}
        if linger_seconds:
            request["expires"] = int(linger_seconds * _NANOSECONDS)
        else:
            request["no_wait"] = True
        await inbox.link.publish(self._next, orjson.dumps(request), inbox.new_reply())
        return await self._gather(inbox, batch, linger_seconds)

    async def _gather(self, inbox: _Inbox, batch: int, linger_seconds: float) -> list[Message]:
        """Messages that came for an earlier request are ours too: nobody else will get them."""
        found: list[Message] = []
        try:
            with inbox.link.telling(inbox.wake):
                async with asyncio.timeout(linger_seconds + _ANSWER_SECONDS) as limit:
                    while len(found) < batch and await self._take(inbox, found):
                        if found and inbox.is_empty:
                            limit.reschedule(asyncio.get_running_loop().time() + _SILENCE_SECONDS)
        except TimeoutError:
            self._exists = bool(found)  # else it is looked for again
        except BrokerAway:
            if not found:
                raise
        except asyncio.CancelledError:
            for message in found:
                await message.nak()
            raise
        return found

    async def _take(self, inbox: _Inbox, found: list[Message]) -> bool:
        """Take what comes next; False when the server says that this is all for now."""
        message = await inbox.next()
        status = status_of(message)
        if not status:
            found.append(self._parsed(inbox.link, message))
            return True
        if not inbox.is_current(message):
            return True
        if status in _NONE_NOW:
            return False
        self._exists = False
        raise BrokerAway(f"the consumer {self.spec.name} is away ({status})")

    def _parsed(self, link: Link, message: Msg) -> Message:
        delivered = read_reply(message.reply)
        return Message(
            stream=delivered.stream,
            seq=delivered.stream_seq,
            subject=message.subject,
            data=message.data,
            headers=MappingProxyType(message.headers or {}),
            delivered=delivered.times,
            stored_seconds=delivered.stored_seconds,
            inherited=delivered.stored_seconds < self._made_seconds,
            _link=link,
            _reply=message.reply,
        )


class _Inbox:
    """Where the server sends what was asked for: a subscription of one link."""

    def __init__(self, link: Link, subject: str) -> None:
        self.link = link
        self.subscription: Subscription
        self._subject = subject
        self._number = 0
        self._came: asyncio.Queue[Msg | None] = asyncio.Queue()
        """None: the link was lost."""

    @classmethod
    async def open(cls, link: Link) -> _Inbox:
        inbox = cls(link, link.new_inbox())
        inbox.subscription = await link.subscribe(f"{inbox._subject}.*", inbox._arrived)
        return inbox

    @property
    def is_empty(self) -> bool:
        return self._came.empty()

    def new_reply(self) -> str:
        self._number += 1
        return f"{self._subject}.{self._number}"

    def is_current(self, status: Msg) -> bool:
        """Whether a status answers the request made last; statuses come to the reply subject."""
        return status.subject.rpartition(".")[2] == str(self._number)

    async def next(self) -> Msg:
        """Return what came next; BrokerAway once the link is lost."""
        if self.link.lost.is_set() and self._came.empty():
            raise BrokerAway("the connection to the broker was lost")
        message = await self._came.get()
        if message is None:
            raise BrokerAway("the connection to the broker was lost")
        return message

    def left(self) -> list[Msg]:
        """Take all messages that came and nobody took."""
        found: list[Msg] = []
        while not self._came.empty():
            message = self._came.get_nowait()
            if message is not None and not status_of(message):
                found.append(message)
        return found

    def wake(self) -> None:
        """Let `next` see that the link was lost."""
        self._came.put_nowait(None)

    async def _arrived(self, message: Msg) -> None:
        self._came.put_nowait(message)
