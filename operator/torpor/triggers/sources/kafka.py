"""Records of Kafka topics, read by a consumer group: `spec.source.kafka`.

| attribute | of an event that the record is not itself |
| --- | --- |
| type | `dev.torpor.kafka` |
| source | `kafka://<first broker>/<topic>` |
| subject | the key |
| id | `<topic>/<partition>/<offset>`, so that a record read twice is one event |
| time | the record's |
| partitionkey | the key, so that `ordering.key: partitionkey` keeps Kafka's order |

Headers that begin with `ce_` make the record that CloudEvent, `content-type` says what its value
is, and `traceparent` is carried on. Of transactions only what was committed is read. Offsets are
committed for what is stored, in the order of each partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]
from aiokafka.errors import KafkaConnectionError, KafkaError  # type: ignore[import-untyped]

from torpor.resources.fields import Fields
from torpor.resources.trigger import Trigger
from torpor.triggers.base import Received, SourceAway, SourceMisconfigured, SourceWorld
from torpor.triggers.sources.access import (
    Beginning,
    group_of,
    heed_cancellation,
    quieted,
    read_credentials,
    said_by,
)
from torpor.triggers.sources.kafka_access import (
    FORBIDDEN,
    Mechanism,
    Reading,
    connection_options,
    refusal,
)
from torpor.triggers.sources.kafka_offsets import Offsets
from torpor.triggers.sources.message import (
    Facts,
    Message,
    attribute_text,
    content_of,
    prefixed,
    timestamp,
)
from torpor.triggers.sources.settings import settings_of

_AT_A_TIME: Final = 256
_POLL_MS: Final = 500
_ANSWER_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 10.0
"""After so much silence it is asked whether the brokers are there: aiokafka never gives them up."""


class KafkaSource:
    """Reads as one member of the group."""

    exclusive = False

    def __init__(self, trigger: Trigger, world: SourceWorld, reading: Reading) -> None:
        self._trigger = trigger
        self._world = world
        self._reading = reading

    async def subscribe(self) -> AsyncIterator[Received]:
        """Yield the records of the partitions that the group gives us."""
        secret = self._reading.secret
        credentials = await read_credentials(self._trigger, self._world.secrets, secret)
        options = connection_options(self._reading, credentials)
        with _explained(self._reading):
            async with _consumer(self._reading, options) as consumer:
                heed_cancellation()
                await _check_topics(consumer, self._reading)
                offsets = Offsets(consumer, self._reading.beginning)
                consumer.subscribe(self._reading.topics, listener=offsets)
                try:
                    async for received in self._records(consumer, offsets):
                        yield received
                finally:
                    await offsets.finish()

    async def _records(
        self, consumer: AIOKafkaConsumer, offsets: Offsets
    ) -> AsyncIterator[Received]:
        subscribed, heard = False, self._world.wall()
        while True:
            found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_A_TIME)
            heed_cancellation()
            if not subscribed and offsets.assigned.is_set():
                subscribed = True
                self._world.subscribed()
            epoch = offsets.epoch
            for partition, records in found.items():
                for record in records:
                    yield self._received(offsets, epoch, partition, record)
            await offsets.commit()
            if found:
                heard = self._world.wall()
            elif self._world.wall() - heard > _QUIET_SECONDS:
                await _check_topics(consumer, self._reading)
                heard = self._world.wall()

    def _received(self, offsets: Offsets, epoch: int, partition: Any, record: Any) -> Received:
        async def ack() -> None:
            offsets.store(epoch, partition, record.offset)

        async def nak() -> None:
            text = "a record was not stored: reading again from where all were"
            offsets.fail(SourceAway(f"{self._reading.url}: {text}"))

        key = None if record.key is None else attribute_text(record.key)
        facts = Facts(
            id=f"{record.topic}/{record.partition}/{record.offset}",
            type="dev.torpor.kafka",
            source=f"{self._reading.url}/{record.topic}",
            subject=key,
            time=timestamp(datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC)),
            extensions={} if key is None else {"partitionkey": key},
        )
        return Received(content_of(_message(record), facts), ack, nak)


def open_source(trigger: Trigger, world: SourceWorld) -> KafkaSource:
    """Return the source; SourceMisconfigured says what to write."""
    quieted("aiokafka")
    with settings_of(trigger) as found:
        reading = _reading(found, trigger)
    if not reading.brokers or not reading.topics:
        raise SourceMisconfigured("spec.source.kafka: give brokers, as host:port, and topics")
    return KafkaSource(trigger, world, reading)


def _reading(found: Fields, trigger: Trigger) -> Reading:
    brokers = found.texts("brokers")
    if not all(broker.rpartition(":")[2].isdecimal() for broker in brokers):
        raise SourceMisconfigured("spec.source.kafka.brokers: write each as host:port")
    return Reading(
        brokers=brokers,
        topics=found.texts("topics"),
        group=group_of(found, trigger),
        beginning=found.choice("startAt", Beginning, Beginning.LATEST),
        tls=found.boolean("tls", default=False),
        mechanism=found.choice("sasl", Mechanism, Mechanism.NONE),
        secret=found.optional_text("secret"),
    )


@asynccontextmanager
async def _consumer(reading: Reading, options: dict[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(reading.brokers),
        group_id=reading.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # of what was read before and is no more; else see Offsets
        isolation_level="read_committed",
        metadata_max_age_ms=30_000,
        **options,
    )
    try:
        await consumer.start()
        yield consumer
    except KafkaConnectionError:
        refused = await refusal(reading, options)
        if refused is None:
            raise
        raise refused from None
    finally:
        await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close all connections, whatever state the brokers are in.

    With the brokers away `stop` may raise the CancelledError of a task of its own, before it closes
    its client (aiokafka 0.14); it runs as a task here, so that this is not taken for ours.
    """
    stopping = asyncio.create_task(consumer.stop(), name="leave the Kafka group")
    await asyncio.wait((stopping,), timeout=_ANSWER_SECONDS)
    if stopping.done() and not stopping.cancelled() and stopping.exception() is None:
        return
    stopping.cancel()
    await consumer._client.close()


async def _check_topics(consumer: AIOKafkaConsumer, reading: Reading) -> None:
    """Refuse to wait for a topic that nobody made; SourceAway when no broker answers."""
    async with asyncio.timeout(_ANSWER_SECONDS):
        there = await consumer.topics()
    missing = sorted(set(reading.topics) - there)
    if missing:
        text = f"{reading.url}: there is no topic {missing[0]!r}"
        raise SourceMisconfigured(f"{text}: make it, let the source's user see it, or correct it")


def _message(record: Any) -> Message:
    headers = {name.lower(): value for name, value in record.headers}
    content_type = headers.get("content-type")
    return Message(
        payload=record.value or b"",
        content_type=None if content_type is None else content_type.decode("latin-1"),
        attributes=prefixed(headers, "ce_"),
        headers=headers,
    )


@contextmanager
def _explained(reading: Reading) -> Iterator[None]:
    """Say what the library's errors mean."""
    try:
        yield
    except FORBIDDEN as error:
        text = f"{reading.url}: {error}: let the source's user read the topics and use the group"
        raise SourceMisconfigured(f"{text} {reading.group}") from error
    except (KafkaError, OSError) as error:
        raise SourceAway(f"{reading.url}: {said_by(error)}") from error
