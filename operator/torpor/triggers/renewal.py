"""Has large data in JetStream live as long as anything refers to it that is still to be delivered.

What lies in JetStream is deleted by its age, and what refers to it may wait longer: a Trigger that
is suspended, a target that is missing, a dead letter. So every replica looks now and then through
what has waited for a day, and through the dead letters, and renews what these refer to. What one
has renewed, the others find young.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from torpor.errors import TorporError
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import BrokerRefused
from torpor.triggers.broker.listing import QUEUES
from torpor.triggers.broker.objects import StreamObjects
from torpor.triggers.broker.reading import Kept, read_from
from torpor.triggers.broker.streams import Streams
from torpor.triggers.claims import kept_reference

log = logging.getLogger(__name__)

EVERY_SECONDS = 6 * 3600.0
WAITED_SECONDS = 86_400.0
"""What has waited less is not looked at: a queue that is read is looked at in no time."""
RENEW_SECONDS = 7 * 86_400.0
"""The age at which data is renewed; a third of its life."""
_PAUSE_SECONDS = 60.0
"""Before the first time, and the next after one that failed."""


class Renewal:
    """`run` renews; `wall` gives Unix seconds."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        *,
        wall: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._objects = StreamObjects(connection)
        self._wall = wall

    async def run(self) -> None:
        """Renew now and then, for ever."""
        pause_seconds = _PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause_seconds)
            try:
                await self.renew()
                pause_seconds = EVERY_SECONDS
            except TorporError as error:
                pause_seconds = _PAUSE_SECONDS
                fields = {"error": str(error)}
                log.warning("large data could not be renewed", extra={"fields": fields})

    async def renew(self) -> int:
        """Look once; return how many were renewed. Raises BrokerAway.

        What JetStream refuses to renew, because it is full, is left to the next time.
        """
        now, renewed, refused = self._wall(), 0, 0
        seen: set[str] = set()
        async for message in self._waiting(now - WAITED_SECONDS):
            reference = kept_reference(message.data)
            if not reference or reference in seen:
                continue
            seen.add(reference)
            try:
                renewed += await self._objects.renew(reference, now - RENEW_SECONDS)
            except BrokerRefused:
                refused += 1
        if refused:
            fields = {"refused": refused, "renewed": renewed}
            log.warning("some large data could not be renewed", extra={"fields": fields})
        return renewed

    async def _waiting(self, before_seconds: float) -> AsyncIterator[Kept]:
        """Yield what may refer to large data."""
        async for message in self._kept(names.DEAD_STREAM, "torpor.dead.>"):
            yield message
        states = await self._streams.states(QUEUES)
        queues = [(name, QUEUES) for name, state in states.items() if state.messages]
        for stream, subject in ((names.INBOX_STREAM, "torpor.inbox.>"), *queues):
            async for message in self._kept(stream, subject):
                if message.stored_seconds > before_seconds:
                    break  # they are in the order in which they were stored
                yield message

    async def _kept(self, stream: str, subject: str) -> AsyncIterator[Kept]:
        seq = 1
        while (found := await read_from(self._connection, stream, subject, seq)) is not None:
            yield found
            seq = found.seq + 1
