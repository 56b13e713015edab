"""Messages of a RabbitMQ queue: `spec.source.rabbitmq`.

| attribute | of an event that the message is not itself |
| --- | --- |
| type | `dev.torpor.rabbitmq` |
| source | `amqp://<host>:<port>/<virtual host>/<queue>` |
| subject | the routing key |
| id | the message's `message_id`; without one each delivery has its own |
| time | the message's `timestamp` |
| redelivered | true where the broker had delivered it before |

Headers that begin with `cloudEvents:`, `cloudEvents_`, `ce-` or `ce_` make the message that
CloudEvent; `traceparent` among the headers is carried on. Up to 256 messages are taken before the
first of them is acknowledged, which each is once it is stored. What a reader that died had taken
the broker puts back to its place; a Trigger with `ordering` is read by one process at a time, for
another one would have newer messages by then. The queue must be there: Torpor makes none, as nobody
but its owner knows its kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq import exceptions

from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceAway, SourceMisconfigured, SourceWorld
from torpor.triggers.sources.access import (
    Address,
    Credentials,
    heed_cancellation,
    quieted,
    read_address,
    read_credentials,
    said_by,
    tls_context,
)
from torpor.triggers.sources.message import (
    Facts,
    Message,
    attribute_text,
    content_of,
    prefixed,
    timestamp,
    uri_segment,
)
from torpor.triggers.sources.settings import settings_of

_PORTS: Final = {"amqp": 5672, "amqps": 5671}
_WINDOW: Final = 256
_ANSWER_SECONDS: Final = 10.0
_HEARTBEAT_SECONDS: Final = 10
_PREFIXES: Final = ("cloudevents:", "cloudevents_", "ce-", "ce_")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read."""

    address: Address
    queue: str
    secret: str | None

    @property
    def virtual_host(self) -> str:
        """The default one has the name /."""
        return self.address.path or "/"

    @property
    def source(self) -> str:
        """The URI of the queue."""
        path = f"{uri_segment(self.virtual_host)}/{uri_segment(self.queue)}"
        return f"{self.address.url}/{path}"


class RabbitSource:
    """Reads as one of the queue's consumers."""

    def __init__(self, trigger: Trigger, world: SourceWorld, reading: Reading) -> None:
        self.exclusive = trigger.ordering_key is not None
        self._trigger = trigger
        self._world = world
        self._reading = reading

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield the messages as they come."""
        secret = self._reading.secret
        credentials = await read_credentials(self._trigger, self._world.secrets, secret)
        with _explained(self._reading):
            async with _channel(self._reading, credentials) as channel:
                arriving, ended = await _consume(channel, self._reading.queue)
                heed_cancellation()
                self._world.subscribed()
                while True:
                    yield self._received(await _next(arriving, ended))

    def _received(self, message: AbstractIncomingMessage) -> Received:
        async def ack() -> None:
            with _explained(self._reading):
                await message.ack()

        async def nak() -> None:
            with _explained(self._reading):
                await message.nack(requeue=True)

        facts = Facts(
            id=message.message_id or f"{message.consumer_tag}-{message.delivery_tag}",
            type="dev.torpor.rabbitmq",
            source=self._reading.source,
            subject=attribute_text(message.routing_key or ""),
            time=None if message.timestamp is None else timestamp(message.timestamp),
            extensions={"redelivered": True} if message.redelivered else {},
        )
        return Received(content_of(_message(message), facts), ack, nak)


def open_source(trigger: Trigger, world: SourceWorld) -> RabbitSource:
    """Return the source; SourceMisconfigured says what to write."""
    quieted("aio_pika")
    quieted("aiormq")
    with settings_of(trigger) as found:
        reading = Reading(
            address=read_address(found, _PORTS),
            queue=found.required_text("queue"),
            secret=found.optional_text("secret"),
        )
    return RabbitSource(trigger, world, reading)


@asynccontextmanager
async def _channel(reading: Reading, credentials: Credentials) -> AsyncIterator[AbstractChannel]:
    secured = reading.address.scheme == "amqps"
    try:
        connection = await aio_pika.connect(
            host=reading.address.host,
            port=reading.address.port,
            login=credentials.username or "guest",
            password=credentials.password or "guest",
            virtualhost=reading.virtual_host,
            ssl=secured,
            ssl_context=tls_context(credentials) if secured else None,
            timeout=_ANSWER_SECONDS,
            heartbeat=_HEARTBEAT_SECONDS,
            client_properties={"connection_name": "torpor"},
        )
    except exceptions.ProtocolSyntaxError as error:
        # All that the library says where the broker closes instead of opening a virtual host.
        text = f"{reading.source}: the broker refuses the virtual host {reading.virtual_host!r}"
        raise SourceMisconfigured(f"{text}: make it, or let the source's user into it") from error
    async with connection:
        yield await connection.channel(publisher_confirms=False)


async def _consume(
    channel: AbstractChannel, name: str
) -> tuple[asyncio.Queue[AbstractIncomingMessage], asyncio.Future[None]]:
    """Return where messages come to, and what is done once none will come any more."""
    arriving: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()  # bounded by the prefetch
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def end(*_: Any) -> None:
        if not ended.done():
            ended.set_result(None)

    channel.close_callbacks.add(end)
    underlying = await channel.get_underlay_channel()
    underlying.on_consumer_cancel_callbacks.add(end)
    await channel.set_qos(prefetch_count=_WINDOW, timeout=_ANSWER_SECONDS)
    queue = await channel.declare_queue(name, passive=True, timeout=_ANSWER_SECONDS)
    await queue.consume(arriving.put, timeout=_ANSWER_SECONDS)
    return arriving, ended


async def _next(
    arriving: asyncio.Queue[AbstractIncomingMessage], ended: asyncio.Future[None]
) -> AbstractIncomingMessage:
    """Return the next message; SourceAway once none will come, those on the way come again."""
    coming = asyncio.create_task(arriving.get(), name="next message")
    try:
        await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise SourceAway("the broker ended the connection or deleted the queue")
        return coming.result()
    finally:
        coming.cancel()


def _message(message: AbstractIncomingMessage) -> Message:
    headers = {name.lower(): value for name, value in message.headers.items()}
    attributes = prefixed(headers, *_PREFIXES)
    return Message(message.body, message.content_type, attributes, headers)


@contextmanager
def _explained(reading: Reading) -> Iterator[None]:
    """Say what the library's errors mean."""
    try:
        yield
    except (exceptions.ProbableAuthenticationError, exceptions.AuthenticationError) as error:
        text = f"{reading.source}: put the right username and password into the source's secret"
        raise SourceMisconfigured(text) from error
    except exceptions.ChannelNotFoundEntity as error:
        text = f"{reading.source}: there is no such queue: declare it, or correct its name"
        raise SourceMisconfigured(text) from error
    except (exceptions.ChannelAccessRefused, exceptions.ChannelLockedResource) as error:
        text = f"{reading.source}: {error}: let the source's user read the queue"
        raise SourceMisconfigured(text) from error
    except (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError) as error:
        raise SourceAway(f"{reading.source}: {said_by(error)}") from error
