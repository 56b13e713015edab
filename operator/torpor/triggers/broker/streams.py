"""Streams and consumers, made when they are missing and brought up to date when they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import (
    CONSUMER_NOT_FOUND,
    OVERLAPPING_CONSUMER,
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    BrokerRefused,
)
from torpor.triggers.broker.listing import BUSES, QUEUES, listed
from torpor.triggers.broker.rivals import remove_rivals
from torpor.triggers.broker.specs import (
    ACK_WAIT_SECONDS,
    REFUSE_PER_SUBJECT,
    ConsumerSpec,
    ConsumerState,
    Retention,
    StreamSpec,
    StreamState,
)

__all__ = [
    "ACK_WAIT_SECONDS",
    "ConsumerSpec",
    "ConsumerState",
    "Retention",
    "StreamSpec",
    "StreamState",
    "Streams",
]

DEAD_SECONDS = 14 * 86_400
OBJECT_SECONDS = 21 * 86_400
"""Large data, unless it is renewed: longer than a bus and what waits between two renewals."""
BUS_SECONDS = 7 * 86_400
"""A bus's retention unless it is told otherwise."""
QUEUE_DUPLICATE_SECONDS = 300
"""How long a queue remembers an id: as long as SQS remembers a MessageDeduplicationId."""
_RIVALS_BACK = 3
"""So often consumers in the way are removed before a new one is given up."""


class Streams:
    """All streams of Torpor at one broker."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._replicas = connection.settings.replicas
        self._max_bytes = connection.settings.stream_max_bytes
        self._known: set[str] = set()

    async def ensure_base(self) -> None:
        """Make the streams that every role needs: inboxes, dead letters and large data."""
        work, limits = Retention.WORK_QUEUE, Retention.LIMITS
        inboxes = self._spec(names.INBOX_STREAM, "torpor.inbox.>", work)
        most = self._connection.settings.inbox_messages
        await self.ensure(replace(inboxes, max_per_subject=most, refuse_per_subject=most > 0))
        await self.ensure(self._spec(names.DEAD_STREAM, "torpor.dead.>", limits, DEAD_SECONDS))
        large = self._spec(names.OBJECT_STREAM, "torpor.objects.>", limits, OBJECT_SECONDS)
        await self.ensure(large)

    async def ensure_bus(
        self, namespace: str, bus: str, retention_seconds: int | None = None
    ) -> str:
        """Make a bus unless it is there, and return its stream.

        Its retention is changed when one is given; a new bus has a week's.
        """
        stream = names.bus_stream(namespace, bus)
        if retention_seconds is None and stream in self._known:
            return stream
        if retention_seconds is None and await self.state(stream) is not None:
            self._known.add(stream)
            return stream
        subject = names.bus_subject(namespace, bus)
        seconds = BUS_SECONDS if retention_seconds is None else retention_seconds
        await self.ensure(self._spec(stream, subject, Retention.LIMITS, seconds))
        return stream

    async def ensure_queue(self, namespace: str, queue: str) -> str:
        """Make a queue unless it is there, and return its stream."""
        stream = names.queue_stream(namespace, queue)
        if stream not in self._known:
            subject = names.queue_filter(namespace, queue)
            spec = self._spec(stream, subject, Retention.WORK_QUEUE)
            await self.ensure(replace(spec, duplicate_seconds=QUEUE_DUPLICATE_SECONDS))
        return stream

    async def ensure(self, spec: StreamSpec) -> None:
        """Make the stream, or bring it up to date. Raises BrokerRefused and BrokerAway."""
        try:
            await call(self._connection, f"STREAM.CREATE.{spec.name}", spec.config())
        except BrokerRefused as error:
            if error.err_code != STREAM_NAME_IN_USE:
                raise
            await self._update(spec)
        self._known.add(spec.name)

    async def ensure_consumer(self, spec: ConsumerSpec) -> float:
        """Make the consumer, or bring it up to date; returns the Unix time at which it was made.

        When a Trigger's order by key was switched on or off, its former consumers are in the way,
        and so may be those of SQS's receivers: they are deleted, as `remove_rivals` says. One
        that waits makes its own again, once.
        """
        for _ in range(_RIVALS_BACK):
            try:
                return await self._put_consumer(spec)
            except BrokerRefused as error:
                if error.err_code == STREAM_NOT_FOUND:
                    self._known.discard(spec.stream)
                for_receivers = spec.name in names.receivers_consumers(spec.stream)
                if error.err_code not in OVERLAPPING_CONSUMER or for_receivers:
                    raise
                await remove_rivals(self, spec)
        return await self._put_consumer(spec)

    async def restart_consumer(self, spec: ConsumerSpec) -> None:
        """Make the consumer anew, to begin with the first message that is not acknowledged.

        One that goes on would give what is new before what a reader that died had taken. Another
        consumer holds the place meanwhile, so that a crash in between does not lose it.
        """
        found = await self.consumer_state(spec.stream, spec.name)
        spare = replace(spec, name=f"{spec.name}_place")
        if found is not None:
            await self.delete_consumer(spec.stream, spare.name)
            place = max(spec.start_seq, found.acknowledged_seq + 1)
            await self.ensure_consumer(replace(spare, start_seq=place))
            await self.delete_consumer(spec.stream, spec.name)
        place = max(spec.start_seq, await self._start_seq(spare))
        await self.ensure_consumer(replace(spec, start_seq=place))
        await self.delete_consumer(spec.stream, spare.name)

    def forget(self, stream: str) -> None:
        """Look for a bus or queue again at its next use: another replica may have deleted it."""
        self._known.discard(stream)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer; nothing happens when there is none."""
        try:
            await call(self._connection, f"CONSUMER.DELETE.{stream}.{name}")
        except BrokerRefused as error:
            if error.err_code not in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
                raise

    async def delete_receivers(self, stream: str) -> None:
        """Have a queue no longer be read by SQS's receivers: a Trigger reads it."""
        for name in names.receivers_consumers(stream):
            await self.delete_consumer(stream, name)

    async def delete(self, stream: str) -> None:
        """Delete a stream with all it holds; nothing happens when there is none."""
        self._known.discard(stream)
        try:
            await call(self._connection, f"STREAM.DELETE.{stream}")
        except BrokerRefused as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise

    async def purge(self, stream: str, subject: str) -> int:
        """Delete the messages of a subject (`*` and `>` allowed) and return how many."""
        try:
            answer = await call(self._connection, f"STREAM.PURGE.{stream}", {"filter": subject})
        except BrokerRefused as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return 0
        return int(answer.get("purged", 0))

    async def state(self, stream: str) -> StreamState | None:
        """Return what a stream holds, or None if there is none."""
        try:
            found = await call(self._connection, f"STREAM.INFO.{stream}")
        except BrokerRefused as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return None
        return StreamState.of(found)

    async def states(self, subject: str) -> Mapping[str, StreamState]:
        """Return what each stream of a subject (`*` and `>` allowed) holds, by its name."""
        return await listed(self._connection, subject)

    async def consumer_state(self, stream: str, name: str) -> ConsumerState | None:
        """Return how far a consumer is, or None if there is none."""
        try:
            found = await call(self._connection, f"CONSUMER.INFO.{stream}.{name}")
        except BrokerRefused as error:
            if error.err_code not in (CONSUMER_NOT_FOUND, STREAM_NOT_FOUND):
                raise
            return None
        return ConsumerState(
            name=name,
            pending=found["num_pending"],
            unacknowledged=found["num_ack_pending"],
            acknowledged_seq=found["ack_floor"]["stream_seq"],
        )

    async def held(self, stream: str, subject: str = ">") -> Mapping[str, int]:
        """Return the messages held under each subject, such as all inboxes' lag in one request."""
        found: dict[str, int] = {}
        while True:
            request = {"subjects_filter": subject, "offset": len(found)}
            try:
                answer = await call(self._connection, f"STREAM.INFO.{stream}", request)
            except BrokerRefused as error:
                if error.err_code != STREAM_NOT_FOUND:
                    raise
                return {}
            page = answer["state"].get("subjects") or {}
            found |= page
            if not page or len(found) >= answer.get("total", 0):
                return found

    async def inbox_lag(self) -> Mapping[tuple[str, str], int]:
        """Return what is still to deliver for each (namespace, Trigger): waiting and in flight."""
        lag: dict[tuple[str, str], int] = {}
        for subject, count in (await self.held(names.INBOX_STREAM, "torpor.inbox.>")).items():
            key = names.trigger_of(subject)
            lag[key] = lag.get(key, 0) + count
        return lag

    async def buses(self) -> list[tuple[str, str]]:
        """Return (namespace, name) of every bus."""
        return await self._owners(BUSES)

    async def queues(self) -> list[tuple[str, str]]:
        """Return (namespace, name) of every queue."""
        return await self._owners(QUEUES)

    async def _owners(self, subject: str) -> list[tuple[str, str]]:
        owners = map(names.owner, await self.states(subject))
        return sorted(owner for owner in owners if owner is not None)

    async def _put_consumer(self, spec: ConsumerSpec) -> float:
        operation = f"CONSUMER.CREATE.{spec.stream}.{spec.name}.{spec.filter_subject}"
        config = spec.config()
        if spec.start_seq:
            config |= await self._start(spec)
        request = {"stream_name": spec.stream, "config": config}
        made = await call(self._connection, operation, request)
        return datetime.fromisoformat(made["created"]).timestamp()

    async def _start(self, spec: ConsumerSpec) -> dict[str, Any]:
        """Return where the consumer starts; of one that exists this cannot be changed."""
        try:
            found = await call(self._connection, f"CONSUMER.INFO.{spec.stream}.{spec.name}")
        except BrokerRefused as error:
            if error.err_code != CONSUMER_NOT_FOUND:
                raise
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": spec.start_seq}
        kept = ("deliver_policy", "opt_start_seq")
        return {name: found["config"][name] for name in kept if name in found["config"]}

    async def _start_seq(self, spec: ConsumerSpec) -> int:
        """Return where a consumer started; 0 without one, or when it began with the stream."""
        try:
            found = await call(self._connection, f"CONSUMER.INFO.{spec.stream}.{spec.name}")
        except BrokerRefused as error:
            if error.err_code != CONSUMER_NOT_FOUND:
                raise
            return 0
        return int(found["config"].get("opt_start_seq", 0))

    async def _update(self, spec: StreamSpec) -> None:
        found = await call(self._connection, f"STREAM.INFO.{spec.name}")
        current = {REFUSE_PER_SUBJECT: False, **found["config"]}
        wanted = {**current, **spec.config()}
        if wanted != current:
            await call(self._connection, f"STREAM.UPDATE.{spec.name}", wanted)

    def _spec(
        self, name: str, subject: str, retention: Retention, max_age_seconds: int = 0
    ) -> StreamSpec:
        return StreamSpec(
            name, (subject,), retention, self._max_bytes, max_age_seconds, replicas=self._replicas
        )
