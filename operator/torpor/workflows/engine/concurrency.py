"""How many executions of a workflow run at once for each concurrency key.

The ledger counts durable executions, so their limit is exact with any number of engines, and a
place is free by the very commit that ends its execution. Express executions are in no ledger: of
their limit each engine takes an equal part, at least one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.payload import Payload, json_text
from torpor.workflows.asl.scope import ABSENT, Entropy, Scope
from torpor.workflows.engine.dispatching import Spawn
from torpor.workflows.ledger.base import Ledger, LedgerError
from torpor.workflows.records import Machine

log = logging.getLogger(__name__)

_LOOK_SECONDS = 30.0
"""How often the ledger is asked for places when it tells of nothing."""
_PAUSE_SECONDS = 0.5


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
        value = key.evaluate(Scope(input.value, {}, {}, entropy), "concurrency")
    except (Fault, ValueError) as error:
        fields = {"machine": machine.arn, "problem": str(error)}
        log.warning("no concurrency key", extra={"fields": fields})
        return machine.arn
    return machine.arn if value is ABSENT else f"{machine.arn}#{json_text(value)}"


@dataclass(slots=True)
class _Queue:
    """The executions of one lane that wait here. `entering` are those the ledger was not told."""

    most: int
    waiting: dict[str, Callable[[], None]] = field(default_factory=dict)
    entering: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Admission:
    """Lets durable executions begin, oldest first, while the ledger has room in their lane."""

    def __init__(self, ledger: Ledger, spawn: Spawn) -> None:
        self._ledger = ledger
        self._spawn = spawn
        self._queues: dict[str, _Queue] = {}
        self._lane_of: dict[str, str] = {}

    def enter(self, place: Place, began_at: float, begin: Callable[[], None]) -> None:
        """Call `begin` when the execution has a place: at once where there is no limit."""
        if place.limit is None:
            begin()
            return
        queue = self._queues.get(place.lane)
        if queue is None:
            queue = self._queues[place.lane] = _Queue(place.limit)
            _ = self._spawn(self._serve(place.lane, queue), f"lane {place.lane}")
        queue.most = place.limit
        queue.waiting[place.arn] = begin
        queue.entering[place.arn] = began_at
        queue.news.set()
        self._lane_of[place.arn] = place.lane

    def leave(self, arn: str) -> None:
        """An execution ended or left this process: it does not begin here any more."""
        queue = self._queues.get(self._lane_of.pop(arn, ""))
        if queue is not None:
            queue.waiting.pop(arn, None)
            queue.entering.pop(arn, None)
            queue.news.set()

    async def _serve(self, lane: str, queue: _Queue) -> None:
        with self._ledger.news(lane) as queue.news:
            queue.news.set()
            while queue.waiting:
                queue.news.clear()
                if await self._look(lane, queue) and queue.waiting:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await queue.news.wait()
        del self._queues[lane]

    async def _look(self, lane: str, queue: _Queue) -> bool:
        """Let begin who has a place; False when the ledger could not tell."""
        entering, queue.entering = queue.entering, {}
        try:
            admitted = await self._ledger.admit(lane, queue.most, list(entering.items()))
        except LedgerError as error:
            log.warning("no admission now", extra={"fields": {"lane": lane, "problem": str(error)}})
            queue.entering = {
                arn: at for arn, at in (entering | queue.entering).items() if arn in queue.waiting
            }
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        for arn in admitted:
            begin = queue.waiting.pop(arn, None)
            if begin is not None:
                del self._lane_of[arn]
                begin()
        return True


@dataclass(slots=True)
class _Lane:
    running: set[str] = field(default_factory=set)
    waiting: deque[tuple[str, Callable[[], None]]] = field(default_factory=deque)


class ExpressAdmission:
    """Lets express executions begin, oldest first, while their lane has room in this process."""

    def __init__(self, engines: Callable[[], int]) -> None:
        self._engines = engines
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[str, str] = {}

    def enter(self, place: Place, begin: Callable[[], None]) -> None:
        """Call `begin` at once when there is room, else when another execution ends."""
        if place.limit is None:
            begin()
            return
        self._lane_of[place.arn] = place.lane
        self._lanes.setdefault(place.lane, _Lane()).waiting.append((place.arn, begin))
        self._fill(place.lane, place.limit)

    def leave(self, arn: str, limit: int | None) -> None:
        """An execution ended."""
        name = self._lane_of.pop(arn, None)
        if name is None:
            return
        lane = self._lanes[name]
        lane.running.discard(arn)
        lane.waiting = deque(entry for entry in lane.waiting if entry[0] != arn)
        if limit is not None:
            self._fill(name, limit)
        if not lane.running and not lane.waiting:
            self._lanes.pop(name, None)

    def _fill(self, name: str, limit: int) -> None:
        lane = self._lanes[name]
        room = max(1, limit // max(1, self._engines()))
        while lane.waiting and len(lane.running) < room:
            arn, begin = lane.waiting.popleft()
            lane.running.add(arn)
            begin()
