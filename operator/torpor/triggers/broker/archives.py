"""Keeps the archives of buses within their share of JetStream's store, and sees what room is left.

Every replica does so: what one gave up already, the others find gone. What a bus has not routed yet
is never given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from torpor.telemetry.metrics import ARCHIVE_GIVEN_UP, STORE_ARCHIVE, STORE_LIMIT, STORE_USED
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.errors import STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.listing import ALL
from torpor.triggers.broker.many import ask_each
from torpor.triggers.broker.room import Archive, Room, giving_way
from torpor.triggers.broker.specs import StreamState
from torpor.triggers.broker.streams import Streams

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
"""Between two looks at least, for what takes room to go."""


class Archives:
    """The archives of all buses. `run` keeps `connection.room` true."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        read: Callable[[], Awaitable[Collection[tuple[str, str]]]],
    ) -> None:
        """`read` returns namespace and name of all buses that have a Trigger, or raises."""
        self._connection = connection
        self._streams = streams
        self._read = read
        self._learned_bytes = 0
        self._learned_of = ""

    async def run(self) -> None:
        """Look now and then, and at once when that is wanted; for ever."""
        while True:
            with suppress(BrokerAway, BrokerRefused):  # its connection says that it is away
                await self.look()
            await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._connection.look_wanted.wait()

    async def look(self) -> Room:
        """Have the archives give up what they must, and return the room there is after it.

        Raises BrokerAway.
        """
        connection = self._connection
        was_full, admitted_bytes = connection.store_full, connection.admitted_bytes
        connection.store_full = False
        connection.look_wanted.clear()
        streams = await self._streams.states(ALL)
        room = await self._room(streams, was_full)
        if room.surplus_bytes and await self._give_up(_buses(streams), room.surplus_bytes):
            streams = await self._streams.states(ALL)
            room = await self._room(streams, found_full=False)
        connection.room = room
        connection.admitted_bytes -= admitted_bytes
        STORE_USED.set(room.used_bytes)
        STORE_LIMIT.set(room.store_bytes)
        STORE_ARCHIVE.set(room.archive_bytes)
        return room

    async def _room(self, streams: Mapping[str, StreamState], found_full: bool) -> Room:
        await self._forget_another()
        info = await call(self._connection, "INFO")
        settings = self._connection.settings
        used, of_account = (
            int(number) // settings.replicas  # JetStream counts each copy
            for number in (info["storage"], info["limits"]["max_storage"])
        )
        if found_full:
            self._learned_bytes = max(self._learned_bytes, used)
        told = [each for each in (settings.store_bytes, of_account) if each > 0]
        learned = [self._learned_bytes] if self._learned_bytes else []
        held = {name: state.size_bytes for name, state in streams.items()}
        archive = sum(state.size_bytes for state in _buses(streams).values())
        size = min(told + learned, default=0)
        return Room(size, used, archive, held, is_told=bool(told))

    async def _forget_another(self) -> None:
        """What was learned of a server that was started anew since may not be so any more."""
        server = (await self._connection.link()).server_id
        if server != self._learned_of:
            self._learned_of, self._learned_bytes = server, 0

    async def _give_up(self, buses: Mapping[str, StreamState], surplus_bytes: int) -> bool:
        """Whether anything was given up."""
        holding = {name: state for name, state in buses.items() if state.messages}
        read = await self._read()

        async def archive(name: str) -> Archive:
            state = holding[name]
            routed = await self._routed(name) if names.owner(name) in read else state.last_seq
            return Archive(name, state.messages, state.size_bytes, state.first_seq, routed)

        archives = list((await ask_each(holding, archive)).values())
        given_up = 0
        for stream, first_kept in giving_way(archives, surplus_bytes).items():
            given_up += await self._drop(stream, first_kept)
        if given_up:
            ARCHIVE_GIVEN_UP.inc(given_up)
            fields = {"events": given_up}
            log.info("archives of buses gave way: the store is short", extra={"fields": fields})
        return given_up > 0

    async def _routed(self, stream: str) -> int:
        router = await self._streams.consumer_state(stream, names.ROUTER_CONSUMER)
        return 0 if router is None else router.acknowledged_seq

    async def _drop(self, stream: str, first_kept: int) -> int:
        try:
            answer = await call(self._connection, f"STREAM.PURGE.{stream}", {"seq": first_kept})
        except BrokerRefused as error:
            if error.err_code != STREAM_NOT_FOUND:
                raise
            return 0
        return int(answer["purged"])


def _buses(streams: Mapping[str, StreamState]) -> dict[str, StreamState]:
    prefix = names.BUS_STREAM_PREFIX
    return {name: state for name, state in streams.items() if name.startswith(prefix)}
