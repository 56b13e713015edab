"""Replay: what a bus kept goes into the inboxes of its Triggers again.

A Trigger gets only what its filter wants. What is replayed is delivered anew even where it was
delivered before; a Trigger's `dedupe` still holds.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torpor.resources.names import FunctionKey
from torpor.resources.trigger import Filter, SourceKind
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.objects import ObjectMissing, Objects
from torpor.triggers.broker.publishing import Outgoing, Publisher
from torpor.triggers.broker.reading import Kept, first_since, read_from
from torpor.triggers.broker.streams import Streams
from torpor.triggers.claims import redeem
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.readmission import readmit
from torpor.triggers.event import MalformedEvent, from_structured
from torpor.triggers.filter.compiled import CompiledFilter, compile_filter

EVERYTHING = Filter()
MOST_SCANNED = 10_000
"""Events of the bus that one call looks at."""
_MOST_SECONDS = 10.0
"""How long one call goes on to the next event: whoever asks has a deadline for the answer."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What of a bus: stored from `since` to before `until` (Unix seconds), and wanted by `only`.

    `trigger`: for this one alone, else for all of the bus. `occasion` is the same for all calls of
    one replay, such as a UUID, and another for the next.
    """

    bus: FunctionKey
    occasion: str
    rate_per_second: float
    since_seconds: float = 0.0
    until_seconds: float = math.inf
    only: Filter = EVERYTHING
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """`events` of the bus were wanted and are in `deliveries` inboxes; `skipped` were unreadable.

    `after` is where to go on, None at the end.
    """

    events: int
    deliveries: int
    skipped: int
    after: int | None


@dataclass(frozen=True, slots=True)
class _Reader:
    definition: Definition
    filter: CompiledFilter


@dataclass(slots=True)
class _Progress:
    """Of one call; `after` is the last message that was looked at."""

    after: int
    events: int = 0
    deliveries: int = 0
    skipped: int = 0

    def replayed(self, after: int | None) -> Replayed:
        return Replayed(self.events, self.deliveries, self.skipped, after)


class Replay:
    """Replays buses. Its method raises BrokerAway, InvalidName, PatternError and CesqlError."""

    def __init__(
        self,
        connection: Connection,
        streams: Streams,
        publisher: Publisher,
        objects: Objects,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._streams = streams
        self._publisher = publisher
        self._objects = objects
        self._clock = clock

    async def run(
        self,
        request: ReplayRequest,
        known: Mapping[FunctionKey, Definition],
        limit: int = MOST_SCANNED,
        after: int | None = None,
    ) -> Replayed:
        """Replay up to `limit` events past `after`, no faster than the rate.

        It ends with what the bus holds at the beginning of the call.
        """
        stream = names.bus_stream(request.bus.namespace, request.bus.name)
        state = await self._streams.state(stream)
        if state is None:
            return Replayed(0, 0, 0, None)
        ends = self._clock() + _MOST_SECONDS
        readers, only = _readers(request, known), compile_filter(request.only)
        progress = _Progress(await self._first(request, stream) - 1 if after is None else after)
        for _ in range(MOST_SCANNED):
            kept = await read_from(self._connection, stream, _subject(request), progress.after + 1)
            over = kept is None or kept.seq > state.last_seq
            if kept is None or over or kept.stored_seconds >= request.until_seconds:
                return progress.replayed(None)
            progress.after = kept.seq
            await self._one(kept, only, readers, request, progress)
            if progress.events >= limit or self._clock() >= ends:
                break
        return progress.replayed(progress.after)

    async def _first(self, request: ReplayRequest, stream: str) -> int:
        return await first_since(self._connection, stream, _subject(request), request.since_seconds)

    async def _one(
        self,
        kept: Kept,
        only: CompiledFilter,
        readers: Sequence[_Reader],
        request: ReplayRequest,
        progress: _Progress,
    ) -> None:
        try:
            messages = await self._messages(kept, only, readers, request.occasion)
        except (MalformedEvent, ObjectMissing):
            progress.skipped += 1
            return
        if not messages:
            return
        await self._publisher.publish_batch(messages)
        progress.events += 1
        progress.deliveries += len(messages)
        await asyncio.sleep(1 / request.rate_per_second)

    async def _messages(
        self, kept: Kept, only: CompiledFilter, readers: Sequence[_Reader], occasion: str
    ) -> list[Outgoing]:
        event = from_structured(kept.data)
        whole = await redeem(event, self._objects)
        if not only.matches(whole):
            return []
        return [
            readmit(reader.definition, event, kept.data, f"replay {occasion}")
            for reader in readers
            if reader.filter.matches(whole)
        ]


def _subject(request: ReplayRequest) -> str:
    return names.bus_subject(request.bus.namespace, request.bus.name)


def _readers(request: ReplayRequest, known: Mapping[FunctionKey, Definition]) -> list[_Reader]:
    found: list[_Reader] = []
    for key, definition in known.items():
        source = definition.trigger.source
        reads = source.kind is SourceKind.BUS and source.settings.get("name") == request.bus.name
        asked = not request.trigger or key.name == request.trigger
        if reads and asked and key.namespace == request.bus.namespace:
            found.append(_Reader(definition, compile_filter(definition.trigger.filter)))
    return found
