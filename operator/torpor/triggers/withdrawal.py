"""What a deleted Trigger leaves behind, and its removal.

Its inbox is emptied: what was not delivered will never be. Messages of a queue stay, they are the
queue's. What its source made at its own server, such as a replication slot of PostgreSQL, is
removed once nobody uses it any more, which is tried for some time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from torpor.errors import TorporError
from torpor.resources.trigger import SourceKind, Trigger
from torpor.triggers.broker import names
from torpor.triggers.broker.errors import BrokerFull
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definitions
from torpor.triggers.positions import StoredPositions

log = logging.getLogger(__name__)

_TRIES = 8
_PAUSE_SECONDS = 1.0
_TRY_SECONDS = 30.0

Forget = Callable[[Trigger], Awaitable[None]]
"""Removes what a Trigger's source made at its server; TorporError while that cannot be done."""


@dataclass(slots=True)
class Withdrawal:
    """Has Triggers no longer in force, and removes what they leave behind."""

    definitions: Definitions
    streams: Streams
    positions: StoredPositions
    forget: Forget
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def withdraw(self, trigger: Trigger) -> None:
        """Return when it is not in force; the rest is done in the background. BrokerAway."""
        try:
            await self.definitions.delete(trigger.key)
        except BrokerFull:
            await self._empty(trigger)  # a store that is quite full has no room for this either
            await self.definitions.delete(trigger.key)
        await self._empty(trigger)
        task = asyncio.create_task(self._clean(trigger), name=f"clean up after {trigger.key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is not done yet."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _empty(self, trigger: Trigger) -> None:
        namespace, name = trigger.key.namespace, trigger.key.name
        stream = _stream(trigger)
        partitions = range(names.PARTITIONS) if trigger.ordering_key is not None else (None,)
        for partition in partitions:
            consumer = names.consumer_name(namespace, name, partition)
            await self.streams.delete_consumer(stream, consumer)
        if stream == names.INBOX_STREAM:
            await self.streams.purge(stream, names.inbox_filter(namespace, name))

    async def _clean(self, trigger: Trigger) -> None:
        pause = _PAUSE_SECONDS
        for attempt in range(1, _TRIES + 1):
            await asyncio.sleep(pause)
            pause *= 2
            try:
                async with asyncio.timeout(_TRY_SECONDS):
                    await self._forget(trigger)
                return
            except (TorporError, TimeoutError) as error:
                if attempt == _TRIES:
                    fields = {"trigger": str(trigger.key), "error": str(error)}
                    log.error(
                        "what a deleted Trigger made is left: remove it by hand",
                        extra={"fields": fields},
                    )

    async def _forget(self, trigger: Trigger) -> None:
        """Another replica may have worked on for a moment: once more, if nothing has its name."""
        again = await self.definitions.get(trigger.key)
        if again is None:
            await self._empty(trigger)
        if again is None or again.trigger.uid != trigger.uid:
            await self.forget(trigger)
            await self.positions.forget(trigger)


def _stream(trigger: Trigger) -> str:
    if trigger.source.kind is not SourceKind.QUEUE:
        return names.INBOX_STREAM
    return names.queue_stream(trigger.key.namespace, str(trigger.source.settings.get("name", "")))
