"""Where a worker's seconds went, kept in the store: also those of work that was lost.

Each worker keeps a file of its own and writes it now and then. What it had in hand when it was
killed counts as made again, up to the last time that it wrote.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torpor.checkpoint import Checkpoint
from torpor.transcode.inhand import InHand

INTERVAL_SECONDS = 15.0
_FOLDER = "cost/"


@dataclass(frozen=True, slots=True)
class Seconds:
    """Pod seconds: of units that counted and that did not, by variant, and of none.

    `finishing` is what comes after all units, which whoever does it adds.
    """

    useful: dict[str, float]
    redone: dict[str, float]
    startup: float
    idle: float
    finishing: float


@dataclass(slots=True)
class Ledger:
    """One worker's. A worker that makes several units at once divides its time among them."""

    slots: int
    clock: Callable[[], float] = time.monotonic
    name: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    in_hand: list[InHand] = field(default_factory=list)
    startup: float = 0.0
    useful: dict[str, float] = field(default_factory=dict)
    redone: dict[str, float] = field(default_factory=dict)
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def started(self) -> None:
        """Note that what comes before the first unit is done."""
        self.startup = self.clock() - self.begun

    def take(self, hand: InHand) -> None:
        """Note that a unit is begun."""
        self.in_hand.append(hand)

    def share_seconds(self, hand: InHand) -> float:
        """Return the unit's part of the worker's time so far."""
        return hand.seconds / self.slots

    def drop(self, hand: InHand) -> None:
        """Note that a unit is out of hand, as useful if it counts."""
        self.in_hand.remove(hand)
        _add(self.useful if hand.counts else self.redone, hand.name, self.share_seconds(hand))

    def seconds(self) -> Seconds:
        """Return the sums up to now; a unit in hand is lost if nothing else is written."""
        redone = dict(self.redone)
        for hand in self.in_hand:
            _add(redone, hand.name, self.share_seconds(hand))
        worked = sum(self.useful.values()) + sum(redone.values()) + self.startup
        idle = max(0.0, self.clock() - self.begun - worked)
        return Seconds(dict(self.useful), redone, self.startup, idle, 0.0)

    async def save(self, checkpoint: Checkpoint) -> None:
        """Write them."""
        now = self.seconds()
        document = {name: getattr(now, name) for name in Seconds.__dataclass_fields__}
        key = checkpoint.key(f"{_FOLDER}{self.name}.json")
        await asyncio.to_thread(checkpoint.store.put, key, json.dumps(document).encode())


def total(checkpoint: Checkpoint) -> Seconds:
    """Return the sum over all workers that there were. Blocks."""
    store = checkpoint.store
    entries = store.list(checkpoint.key(_FOLDER))
    return _sum(Seconds(**json.loads(store.get(entry.key))) for entry in entries)


def _sum(found: Iterable[Seconds]) -> Seconds:
    useful: dict[str, float] = {}
    redone: dict[str, float] = {}
    startup = idle = finishing = 0.0
    for each in found:
        for name, seconds in each.useful.items():
            _add(useful, name, seconds)
        for name, seconds in each.redone.items():
            _add(redone, name, seconds)
        startup, idle = startup + each.startup, idle + each.idle
        finishing += each.finishing
    return Seconds(useful, redone, startup, idle, finishing)


def _add(sums: dict[str, float], name: str, seconds: float) -> None:
    sums[name] = round(sums.get(name, 0.0) + seconds, 3)
