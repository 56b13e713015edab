"""One connection to the broker, from its beginning to its loss, after which another is made.

nats-py can reconnect by itself, but then what is asked during a break waits for its own deadline,
and a server's fatal error ends it all the same. Here everything asked of a lost connection fails at
once, and whoever had subscribed subscribes again on the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import cast

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from torpor.triggers.base import BrokerAway

_DRAIN_SECONDS = 2.0


class NoResponders(BrokerAway):
    """Nobody listens on the subject: no such stream, or its leader is just being elected."""


class Link:
    """Requests and subscriptions on one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._prefix = client.new_inbox()
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._listeners: list[Callable[[], None]] = []
        self.lost = asyncio.Event()

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that the server takes, headers counted in."""
        return self._client.max_payload

    @property
    def server_id(self) -> str:
        """Another one for each start of a server."""
        return str(self._client._server_info.get("server_id", ""))

    async def begin(self) -> None:
        """Subscribe to the answers; once, before anything is asked."""
        await self.subscribe(f"{self._prefix}.*", self._answered)

    def end(self) -> None:
        """Fail everything that waits for an answer: it will not come."""
        self.lost.set()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(BrokerAway("the connection to the broker was lost"))
        for callback in tuple(self._listeners):
            callback()

    async def subscribe(
        self, subject: str, callback: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        """Call back for each message until `Subscription.unsubscribe` or the loss of the link."""
        try:
            return await self._client.subscribe(
                subject, cb=callback, pending_msgs_limit=0, pending_bytes_limit=0
            )
        except (nats.errors.Error, OSError) as error:
            raise _away(error) from error

    async def drain(self, subscription: Subscription) -> None:
        """End a subscription once all that was sent to it has come. Raises BrokerAway."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await subscription.drain()  # type: ignore[no-untyped-call]  # it has none
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise _away(error) from error

    async def publish(
        self,
        subject: str,
        data: bytes = b"",
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a message, with no word about its arrival. Raises BrokerAway."""
        try:
            await self._client.publish(subject, data, reply, cast("dict[str, str] | None", headers))
        except nats.errors.MaxPayloadError:
            raise
        except (nats.errors.Error, OSError) as error:
            raise _away(error) from error

    async def send(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> asyncio.Future[Msg]:
        """Send a request and return its answer to come; cancel it to stop waiting.

        The answer's exception is NoResponders, or BrokerAway when the link is lost.
        """
        if self.lost.is_set():
            raise BrokerAway("the connection to the broker was lost")
        token = str(next(self._numbers))
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        self._waiting[token] = future
        try:
            await self.publish(subject, data, f"{self._prefix}.{token}", headers)
        except BaseException:
            future.cancel()
            raise
        return future

    async def request(
        self,
        subject: str,
        data: bytes,
        timeout_seconds: float,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """Return the answer to a request. Raises BrokerAway when there is none in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await (await self.send(subject, data, headers))
        except TimeoutError:
            raise BrokerAway(f"the broker did not answer within {timeout_seconds:g} s") from None

    def new_inbox(self) -> str:
        """Return a subject that nobody else has."""
        return self._client.new_inbox()

    @contextlib.contextmanager
    def telling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back when the link is lost inside the block, at once if it is lost already."""
        if self.lost.is_set():
            callback()
        self._listeners.append(callback)
        try:
            yield
        finally:
            self._listeners.remove(callback)

    async def _answered(self, message: Msg) -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        if status_of(message) == "503" and not message.data:
            future.set_exception(NoResponders("no stream takes this now"))
        else:
            future.set_result(message)


def status_of(message: Msg) -> str:
    """Return the status of a message that carries one in its headers, else an empty text."""
    return (message.headers or {}).get("Status", "")


def _away(error: Exception) -> BrokerAway:
    return BrokerAway(f"the broker is away: {str(error) or type(error).__name__}")
