"""Keeps the archives of buses within their share of JetStream's store, and sees what room is left.

Every replica does so: what one gave up already, the others find gone. What a bus has not routed yet
is never given up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace

from torpor.telemetry.metrics import ARCHIVE_GIVEN_UP, STORE_ARCHIVE, STORE_LIMIT, STORE_USED
from torpor.triggers.base import BrokerAway
from torpor.triggers.broker import names
from torpor.triggers.broker.api import call
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.crowding import crowded
from torpor.triggers.broker.errors import STREAM_NOT_FOUND, BrokerRefused
from torpor.triggers.broker.listing import BUSES
from torpor.triggers.broker.many import ask_each
from torpor.triggers.broker.room import Archive, Room, giving_way
from torpor.triggers.broker.specs import StreamState
from torpor.triggers.broker.streams import Streams

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
_FULL_LOOK_SECONDS = 1.0
"""While something is refused."""
_PAUSE_SECONDS = 0.5
"""Between two looks at least, for what takes room to go."""


class Archives:
    """The archives of all buses. `run` keeps `connection.room` true."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        read: Callable[[], Collection[tuple[str, str]]],
    ) -> None:
        """`read` returns namespace and name of the buses that have a Trigger."""
        self._connection = connection
        self._streams = streams
        self._read = read
        self._learned_bytes = 0

    async def run(self) -> None:
        """Look now and then, and at once when the store was found full; for ever."""
        while True:
            with suppress(BrokerAway, BrokerRefused):  # its connection says that it is away
                await self.look()
            await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds()):
                    await self._connection.store_full.wait()

    def _interval_seconds(self) -> float:
        refused = self._connection.room.refusal(BUSES)
        return _FULL_LOOK_SECONDS if refused else LOOK_SECONDS

    async def look(self) -> Room:
        """Have the archives give up what they must, and return the room there is after it.

        Raises BrokerAway.
        """
        was_full = self._connection.store_full.is_set()
        self._connection.store_full.clear()
        buses = await self._streams.states(BUSES)
        room = await self._room(buses, was_full)
        if room.surplus_bytes and await self._give_up(buses, room.surplus_bytes):
            buses = await self._streams.states(BUSES)
            room = await self._room(buses, found_full=False)
        room = replace(room, crowded=await self._crowded(room))
        self._connection.room = room
        STORE_USED.set(room.used_bytes)
        STORE_LIMIT.set(room.store_bytes)
        STORE_ARCHIVE.set(room.archive_bytes)
        return room

    async def _crowded(self, room: Room) -> frozenset[tuple[str, str]]:
        return await crowded(self._connection, self._streams, room.inbox_bytes)

    async def _room(self, buses: Mapping[str, StreamState], found_full: bool) -> Room:
        info = await call(self._connection, "INFO")
        settings = self._connection.settings
        used, of_account = (
            int(number) // settings.replicas  # JetStream counts each copy
            for number in (info["storage"], info["limits"]["max_storage"])
        )
        if found_full:
            self._learned_bytes = max(self._learned_bytes, used)
        limits = (settings.store_bytes, of_account, self._learned_bytes)
        archive = sum(state.size_bytes for state in buses.values())
        return Room(min((each for each in limits if each > 0), default=0), used, archive)

    async def _give_up(self, buses: Mapping[str, StreamState], surplus_bytes: int) -> bool:
        """Whether anything was given up."""
        holding = {name: state for name, state in buses.items() if state.messages}
        read = self._read()

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
