"""How many executions of a workflow run at once for each concurrency key.

The ledger counts durable executions, so their limit is exact with any number of engines, and a
place is free by the very commit that ends its execution. Express executions are in no ledger: of
their limit each engine takes an equal part, at least one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from torpor.expressions.values import ABSENT, Entropy, json_text
from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.payload import Payload
from torpor.workflows.asl.scope import Scope
from torpor.workflows.engine.base import Throttled
from torpor.workflows.engine.dispatching import Spawn
from torpor.workflows.ledger.base import Ledger, LedgerError
from torpor.workflows.records import Machine

log = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
"""How often the ledger is asked for places when it tells of nothing."""
_PAUSE_SECONDS = 0.5
MOST_WAITING = 10_000
"""Express executions that wait for a place in one lane: they are in memory only."""
_KEY_STEPS = 5_000
"""What evaluating a key may take, in steps of JSONata: it is done between other work."""


@dataclass(frozen=True, slots=True)
class Place:
    """What an execution wants before it begins: one of `limit` places in a lane, None: nothing."""

    arn: str
    lane: str
    limit: int | None


def concurrency_lane(machine: Machine, input: Payload, entropy: Entropy) -> str:
    """The lane of an execution: its machine, and its concurrency key where there is one."""
    text = machine.options.concurrency_key
    if text is None:
        return machine.arn
    bare = text.strip()
    if is_jsonata(bare):
        bare = bare[2:-2]
    try:
        # The input is the context, so that `customer.id` is a path into it.
        key = compile_jsonata(f"$states.input.({bare})")
        value = key.evaluate(Scope(input.value, {}, {}, entropy), "concurrency", _KEY_STEPS)
    except (Fault, ValueError) as error:
        fields = {"machine": machine.arn, "problem": str(error)}
        log.warning("no concurrency key", extra={"fields": fields})
        return machine.arn
    return machine.arn if value is ABSENT else f"{machine.arn}#{json_text(value)}"


class Candidate(Protocol):
    """An execution that came for a place."""

    def begin(self) -> None:
        """It has its place."""

    def wait(self) -> None:
        """It has to wait, and the ledger knows: it is brought again when it has its place."""


@dataclass(slots=True)
class _Queue:
    """The executions that came to one lane and of which the ledger was not told yet."""

    most: int
    entering: dict[str, tuple[float, Candidate]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """Lets durable executions begin, oldest first, while the ledger has room in their lane.

    Who waits is a row of the ledger and nothing here. An engine that looks for work reads as much
    with a million of them as with one; it goes through their keys when it takes over their shards.
    """

    def __init__(self, ledger: Ledger, spawn: Spawn) -> None:
        self._ledger = ledger
        self._spawn = spawn
        self._queues: dict[str, _Queue] = {}
        self._stopped = False

    def stop(self) -> None:
        """Let nobody begin any more."""
        self._stopped = True
        for queue in self._queues.values():
            queue.news.set()

    def enter(self, place: Place, began_at: float, candidate: Candidate) -> None:
        """Let an execution begin or wait: it begins at once where there is no limit."""
        if place.limit is None:
            candidate.begin()
            return
        queue = self._queues.get(place.lane)
        if queue is None:
            queue = self._queues[place.lane] = _Queue(place.limit)
            _ = self._spawn(self._serve(place.lane, queue), f"lane {place.lane}")
        queue.most = place.limit
        queue.entering[place.arn] = (began_at, candidate)
        queue.news.set()

    def leave(self, place: Place) -> None:
        """An execution ended or left this process: it does not begin here any more."""
        queue = self._queues.get(place.lane)
        if queue is not None:
            queue.entering.pop(place.arn, None)

    async def _serve(self, lane: str, queue: _Queue) -> None:
        """Give the lane's places while anybody waits, whichever engine's they are."""
        with self._ledger.news(lane) as news:
            news.set()
            queue.news = news
            while await self._look(lane, queue) or queue.entering:
                if self._stopped:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await news.wait()
        del self._queues[lane]

    async def _look(self, lane: str, queue: _Queue) -> bool:
        """Let begin who has a place; whether anybody waits for one."""
        queue.news.clear()
        entering, queue.entering = queue.entering, {}
        try:
            admitted = await self._ledger.admit(
                lane, queue.most, [(arn, at) for arn, (at, _) in entering.items()]
            )
        except LedgerError as error:
            log.warning("no admission now", extra={"fields": {"lane": lane, "problem": str(error)}})
            queue.entering = entering | queue.entering
            await asyncio.sleep(_PAUSE_SECONDS)
            queue.news.set()
            return True
        for arn, (_, candidate) in entering.items():
            if arn in admitted.arns:
                candidate.begin()
            else:
                candidate.wait()
        return admitted.waiting


@dataclass(slots=True)
class _Lane:
    running: set[str] = field(default_factory=set)
    waiting: OrderedDict[str, Callable[[], None]] = field(default_factory=OrderedDict)


class ExpressAdmission:
    """Lets express executions begin, oldest first, while their lane has room in this process."""

    def __init__(self, engines: Callable[[], int]) -> None:
        self._engines = engines
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[str, str] = {}

    def enter(self, place: Place, begin: Callable[[], None]) -> None:
        """Call `begin` at once when there is room, else when another execution ends.

        Raises Throttled when too many wait already.
        """
        if place.limit is None:
            begin()
            return
        lane = self._lanes.setdefault(place.lane, _Lane())
        if len(lane.waiting) >= MOST_WAITING:
            raise Throttled(
                f"{MOST_WAITING} executions wait for the concurrency limit of {place.limit} already"
            )
        self._lane_of[place.arn] = place.lane
        lane.waiting[place.arn] = begin
        self._fill(place.lane, place.limit)

    def leave(self, arn: str, limit: int | None) -> None:
        """An execution ended."""
        name = self._lane_of.pop(arn, None)
        if name is None:
            return
        lane = self._lanes[name]
        lane.running.discard(arn)
        lane.waiting.pop(arn, None)
        if limit is not None:
            self._fill(name, limit)
        if not lane.running and not lane.waiting:
            self._lanes.pop(name, None)

    def _fill(self, name: str, limit: int) -> None:
        lane = self._lanes[name]
        room = max(1, limit // max(1, self._engines()))
        while lane.waiting and len(lane.running) < room:
            arn, begin = lane.waiting.popitem(last=False)
            lane.running.add(arn)
            begin()
