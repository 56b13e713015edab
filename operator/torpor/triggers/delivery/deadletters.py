"""The dead letters that are kept: looked at, sent through their Triggers again, thrown away.

All work goes through the stream in its order, a bounded stretch a call: what is returned says where
to go on.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

import orjson

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.triggers.broker import names
from torpor.triggers.broker.connection import Connection
from torpor.triggers.broker.publishing import Publisher
from torpor.triggers.broker.reading import Kept, read_from, remove
from torpor.triggers.broker.streams import Streams
from torpor.triggers.definitions import Definition
from torpor.triggers.delivery.burial import DeadLetter
from torpor.triggers.delivery.readmission import readmit
from torpor.triggers.event import from_json, to_structured

MOST_LISTED = 1_000
MOST_SCANNED = 10_000
"""Dead letters that one call looks at."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: of a namespace and Trigger, all where empty; of a time; with an error.

    `error` is a part of the error's text, in any case. Times are Unix, of the giving up.
    """

    namespace: str = ""
    trigger: str = ""
    error: str = ""
    since_seconds: float = 0.0
    until_seconds: float = math.inf

    @property
    def subject(self) -> str:
        """The subjects that they are under; InvalidName when a name is none."""
        if self.namespace and self.trigger:
            return names.dead_subject(self.namespace, self.trigger)
        namespace = names.checked(self.namespace, "namespace") if self.namespace else "*"
        trigger = names.checked(self.trigger, "Trigger") if self.trigger else "*"
        return f"torpor.dead.{namespace}.{trigger}"

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter under these subjects is one of them."""
        in_time = self.since_seconds <= letter.buried_seconds < self.until_seconds
        return in_time and self.error.casefold() in letter.error.casefold()


@dataclass(frozen=True, slots=True)
class Page:
    """Some dead letters; `after` is where to go on, None at the end."""

    letters: tuple[DeadLetter, ...]
    after: int | None


@dataclass(frozen=True, slots=True)
class Redriven:
    """`moved` are in their inboxes again; `left` stay, being no events or of no Trigger in force.

    `after` is where to go on, None at the end, which is behind number `last`.
    """

    moved: int
    left: int
    after: int | None
    last: int


class DeadLetters:
    """The stream of dead letters. All methods raise BrokerAway and InvalidName."""

    def __init__(self, connection: Connection, streams: Streams, publisher: Publisher) -> None:
        self._connection = connection
        self._streams = streams
        self._publisher = publisher

    async def counts(self) -> Mapping[FunctionKey, int]:
        """Return how many are kept of each Trigger that has any."""
        held = await self._streams.held(names.DEAD_STREAM, "torpor.dead.>")
        return {FunctionKey(*names.trigger_of(subject)): count for subject, count in held.items()}

    async def get(self, seq: int) -> DeadLetter | None:
        """Return the one of this number, or None."""
        found = await read_from(self._connection, names.DEAD_STREAM, "torpor.dead.>", seq)
        return None if found is None or found.seq != seq else _letter(found)

    async def list(self, selection: Selection, limit: int = 100, after: int = 0) -> Page:
        """Return up to `limit`, from the first one past `after`."""
        found: list[DeadLetter] = []
        scan = _Scan(self._connection, selection, after)
        async for letter in scan.letters():
            found.append(letter)
            if len(found) >= min(limit, MOST_LISTED):
                break
        return Page(tuple(found), scan.after)

    async def redrive(
        self,
        selection: Selection,
        known: Mapping[FunctionKey, Definition],
        rate_per_second: float,
        limit: int = MOST_SCANNED,
        after: int = 0,
        last: int = 0,
    ) -> Redriven:
        """Put up to `limit` back into the inboxes of their Triggers, no faster than the rate.

        Each is removed once it is there. Those that are given up meanwhile are not taken again,
        also not by a call that goes on up to the same `last`; 0 is what is there now.
        """
        moved = left = 0
        last = last or await self._last()
        scan = _Scan(self._connection, selection, after, last)
        async for letter in scan.letters():
            if not await self._moved(letter, known):
                left += 1
                continue
            moved += 1
            if moved >= limit:
                break
            await asyncio.sleep(1 / rate_per_second)
        return Redriven(moved, left, scan.after, last)

    async def purge(self, selection: Selection, limit: int = MOST_SCANNED, after: int = 0) -> Page:
        """Delete up to `limit`, which are returned."""
        found: list[DeadLetter] = []
        scan = _Scan(self._connection, selection, after, await self._last())
        async for letter in scan.letters():
            await remove(self._connection, names.DEAD_STREAM, letter.seq)
            found.append(letter)
            if len(found) >= limit:
                break
        return Page(tuple(found), scan.after)

    async def _last(self) -> int:
        """The number of the last one that is there now."""
        state = await self._streams.state(names.DEAD_STREAM)
        return 0 if state is None else state.last_seq

    async def _moved(self, letter: DeadLetter, known: Mapping[FunctionKey, Definition]) -> bool:
        definition = known.get(letter.trigger)
        if definition is None or letter.event is None:
            return False
        try:
            event = from_json(dict(letter.event))
            occasion = f"redrive {letter.seq} {letter.buried_seconds}"
            message = readmit(definition, event, to_structured(event), occasion)
        except (TorporError, ValueError):
            return False
        await self._publisher.publish(message.subject, message.data, msg_id=message.msg_id)
        await remove(self._connection, names.DEAD_STREAM, letter.seq)
        return True


@dataclass(slots=True)
class _Scan:
    """Goes through the stream; `after` is the last that was looked at, None past the end."""

    connection: Connection
    selection: Selection
    after: int | None
    last: int | None = None

    async def letters(self) -> AsyncIterator[DeadLetter]:
        """Yield what is selected."""
        subject = self.selection.subject
        for _ in range(MOST_SCANNED):
            seq = (self.after or 0) + 1
            found = await read_from(self.connection, names.DEAD_STREAM, subject, seq)
            if found is None or (self.last is not None and found.seq > self.last):
                self.after = None
                return
            self.after = found.seq
            letter = _letter(found)
            if self.selection.takes(letter):
                yield letter


def _letter(found: Kept) -> DeadLetter:
    """What a message of the stream says; of one that cannot be read, its bytes."""
    try:
        return replace(DeadLetter.from_json(orjson.loads(found.data)), seq=found.seq)
    except (ValueError, LookupError, TypeError) as error:
        return DeadLetter(
            seq=found.seq,
            trigger=FunctionKey(*names.trigger_of(found.subject)),
            target="",
            error=f"the dead letter cannot be read: {error}",
            status=None,
            attempts=0,
            first_seconds=0.0,
            last_seconds=0.0,
            buried_seconds=found.stored_seconds,
            trace="",
            event=None,
            raw=found.data,
        )
