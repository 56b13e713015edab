"""Entries of a Redis stream, read by a consumer group: `spec.source.redis`.

| the entry's fields | the event |
| --- | --- |
| `ce_id`, `ce_type`, … and `data` | a CloudEvent in binary mode |
| `data`, beside it at most `content-type`, `traceparent`, `tracestate` | made of `data` |
| any others | its data is a JSON object of all fields and their texts |

Made events have type `dev.torpor.redis`, source `redis://<host>:<port>/<database>/<stream>`, the
entry's id and its time, and the stream as subject. An entry is acknowledged once it is stored.

One process at a time reads, as the consumer `torpor.<namespace>.<name>`: what one that died had not
acknowledged is the next one's, before anything newer. What other consumers of the group have had
for a minute is taken over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, Final

import orjson
import redis.asyncio
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from torpor.errors import InvalidResource
from torpor.resources.trigger import Trigger
from torpor.triggers.base import (
    Received,
    SourceAway,
    SourceMisconfigured,
    SourceWorld,
    Undecodable,
)
from torpor.triggers.event import Event
from torpor.triggers.sources.access import (
    Address,
    Beginning,
    Credentials,
    group_of,
    read_address,
    read_credentials,
    said_by,
    tls_context,
)
from torpor.triggers.sources.message import (
    Facts,
    Message,
    content_of,
    prefixed,
    timestamp,
    uri_segment,
)
from torpor.triggers.sources.redis_group import Entry, Group
from torpor.triggers.sources.settings import settings_of

CLAIM_IDLE_SECONDS = 60.0
"""After it what another reader took and did not acknowledge is taken over."""
_PORTS: Final = {"redis": 6379, "rediss": 6379}
_CONNECT_SECONDS: Final = 5.0
_GROUP_POSITION: Final = "group"
_PAYLOAD_FIELDS: Final = frozenset({"data", "content-type", "traceparent", "tracestate"})
_BEGINS: Final = {Beginning.LATEST: "$", Beginning.EARLIEST: "0"}
_REFUSALS: Final = ("WRONGPASS", "NOAUTH", "NOPERM", "WRONGTYPE", "DB index", "ERR DB index")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read."""

    address: Address
    database: int
    stream: str
    group: str
    beginning: Beginning
    secret: str | None

    @property
    def source(self) -> str:
        """The URI of the stream."""
        return f"{self.address.url}/{self.database}/{uri_segment(self.stream)}"


class RedisSource:
    """Reads as one consumer of the group, named after the Trigger."""

    exclusive = True

    def __init__(self, trigger: Trigger, world: SourceWorld, reading: Reading) -> None:
        self._trigger = trigger
        self._world = world
        self._reading = reading

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield the entries: first those taken and not acknowledged before, then new ones."""
        reading, world = self._reading, self._world
        credentials = await read_credentials(self._trigger, world.secrets, reading.secret)
        with _explained(reading):
            async with _connected(reading, credentials) as client:
                consumer = f"torpor.{self._trigger.key.namespace}.{self._trigger.key.name}"
                names = (reading.stream, reading.group, consumer)
                group = Group(client, *names, CLAIM_IDLE_SECONDS, world.wall)
                await self._begin(group)
                world.subscribed()
                try:
                    async for entry in group.entries():
                        yield self._received(group, entry)
                finally:
                    # What the server cannot be told is read again, under the same ids.
                    with suppress(exceptions.RedisError, OSError):
                        await group.flush()

    async def _begin(self, group: Group) -> None:
        """Make the group; one that was there before and is gone begins with all there is."""
        mine = f"{self._reading.source}\n{self._reading.group}".encode()
        positions = self._world.positions
        known = await positions.get(self._trigger, _GROUP_POSITION) == mine
        await group.ensure("0" if known else _BEGINS[self._reading.beginning])
        if not known:
            await positions.put(self._trigger, _GROUP_POSITION, mine)

    def _received(self, group: Group, entry: Entry) -> Received:
        identifier, fields = entry

        async def ack() -> None:
            with _explained(self._reading):
                await group.acknowledge(identifier)

        async def nak() -> None:
            group.refuse()

        return Received(self._content(identifier, fields), ack, nak)

    def _content(self, identifier: str, fields: dict[bytes, bytes]) -> Event | Undecodable:
        facts = Facts(
            id=identifier,
            type="dev.torpor.redis",
            source=self._reading.source,
            subject=self._reading.stream,
            time=_instant(identifier),
        )
        try:
            return content_of(_message(fields), facts)
        except UnicodeDecodeError:
            raw = b"\n".join(name + b"=" + value for name, value in fields.items())
            about = {"id": facts.id, "type": facts.type, "source": facts.source}
            return Undecodable(raw, "the entry's fields are not UTF-8: put bytes into data", about)


def open_source(trigger: Trigger, world: SourceWorld) -> RedisSource:
    """Return the source; SourceMisconfigured says what to write."""
    with settings_of(trigger) as found:
        address = read_address(found, _PORTS)
        reading = Reading(
            address=address,
            database=_database(address),
            stream=found.required_text("stream"),
            group=group_of(found, trigger),
            beginning=found.choice("startAt", Beginning, Beginning.LATEST),
            secret=found.optional_text("secret"),
        )
    return RedisSource(trigger, world, reading)


def _database(address: Address) -> int:
    if not address.path:
        return 0
    if not address.path.isdecimal() or len(address.path) > 5:
        raise InvalidResource("url", "what follows the host must be the number of a database")
    return int(address.path)


def _message(fields: dict[bytes, bytes]) -> Message:
    named = {name.decode(): value for name, value in fields.items()}
    attributes = prefixed(named, "ce_")
    if attributes or ("data" in named and named.keys() <= _PAYLOAD_FIELDS):
        content_type = named.get("content-type", b"").decode() or None
        return Message(named.get("data", b""), content_type, attributes, named)
    texts = {name: value.decode() for name, value in named.items()}
    return Message(orjson.dumps(texts), "application/json", headers=named)


def _instant(identifier: str) -> str | None:
    milliseconds = int(identifier.partition("-")[0])
    try:
        return timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))
    except (OverflowError, ValueError, OSError):  # an id that the writer chose
        return None


class _Secured(redis.asyncio.Connection):
    """A connection with a TLS context of ours: the library's own reads a key from a file only."""

    def __init__(self, *, context: SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self._context = context

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._context}


@asynccontextmanager
async def _connected(
    reading: Reading, credentials: Credentials
) -> AsyncIterator[redis.asyncio.Redis]:
    options: dict[str, Any] = {
        "host": reading.address.host,
        "port": reading.address.port,
        "db": reading.database,
        "username": credentials.username,
        "password": credentials.password,
        # None: each call has a deadline of ours. The library's, made of wait_for, may swallow a
        # cancellation before Python 3.12.
        "socket_timeout": None,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "retry": Retry(NoBackoff(), 0),  # who runs the source tries again, with pauses
    }
    if reading.address.scheme == "rediss":
        context = tls_context(credentials)
        options |= {"connection_class": _Secured, "context": context}
    pool = redis.asyncio.ConnectionPool(**options)
    client = redis.asyncio.Redis.from_pool(pool)
    try:
        yield client
    finally:
        await client.aclose()


@contextmanager
def _explained(reading: Reading) -> Iterator[None]:
    """Say what the library's errors mean."""
    where = f"{reading.address.url}, stream {reading.stream}"
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        text = f"{where}: {error}: put the right username and password into the source's secret"
        raise SourceMisconfigured(text) from error
    except exceptions.ResponseError as error:
        kind = SourceMisconfigured if str(error).startswith(_REFUSALS) else SourceAway
        raise kind(f"{where}: {error}") from error
    except (exceptions.RedisError, OSError) as error:
        raise SourceAway(f"{where}: {said_by(error)}") from error
