"""How many executions of a workflow run at once for each concurrency key.

The limit holds in one engine. With several engines each takes an equal part of it, at least one:
the executions of a workflow are spread over all of them by their shards.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from torpor.workflows.asl.fault import Fault
from torpor.workflows.asl.jsonata import compile_jsonata, is_jsonata
from torpor.workflows.asl.payload import Payload, json_text
from torpor.workflows.asl.scope import ABSENT, Entropy, Scope
from torpor.workflows.records import Machine

log = logging.getLogger(__name__)


def concurrency_lane(machine: Machine, input: Payload, entropy: Entropy) -> str:
    """The lane of an execution: its machine, and its concurrency key where there is one."""
    text = machine.options.concurrency_key
    if text is None:
        return machine.arn
    bare = text.strip()
    if is_jsonata(bare):
        bare = bare[2:-2]
    try:
        value = compile_jsonata(bare).evaluate(Scope(input.value, {}, {}, entropy), "concurrency")
    except (Fault, ValueError) as error:
        fields = {"machine": machine.arn, "problem": str(error)}
        log.warning("no concurrency key", extra={"fields": fields})
        return machine.arn
    return machine.arn if value is ABSENT else f"{machine.arn}#{json_text(value)}"


@dataclass(slots=True)
class _Lane:
    running: set[str] = field(default_factory=set)
    waiting: deque[tuple[str, Callable[[], None]]] = field(default_factory=deque)


class Admission:
    """Lets executions begin, oldest first, while their lane has room."""

    def __init__(self, engines: Callable[[], int]) -> None:
        self._engines = engines
        self._lanes: dict[str, _Lane] = {}
        self._lane_of: dict[str, str] = {}

    def occupy(self, arn: str, lane: str, limit: int | None) -> None:
        """Take in an execution that runs already, whatever the limit says."""
        if limit is not None:
            self._lane_of[arn] = lane
            self._lanes.setdefault(lane, _Lane()).running.add(arn)

    def enter(self, arn: str, lane: str, limit: int | None, begin: Callable[[], None]) -> None:
        """Call `begin` at once when there is room, else when another execution ends."""
        if limit is None:
            begin()
            return
        self._lane_of[arn] = lane
        self._lanes.setdefault(lane, _Lane()).waiting.append((arn, begin))
        self._fill(lane, limit)

    def leave(self, arn: str, limit: int | None) -> None:
        """An execution ended or left this process."""
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
