"""Which Triggers of a bus an event matches: patterns by one index, CESQL one by one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from torpor.errors import TorporError
from torpor.resources.names import FunctionKey
from torpor.triggers.definitions import Definition
from torpor.triggers.event import Event
from torpor.triggers.filter.index import Index
from torpor.triggers.filter.view import seen
from torpor.triggers.inbox import Entrance, entrance


class BusIndex:
    """The Triggers of one bus."""

    def __init__(self) -> None:
        self._entrances: dict[FunctionKey, Entrance] = {}
        self._since: dict[FunctionKey, int] = {}
        self._patterns: Index[FunctionKey] = Index()
        self._others: set[FunctionKey] = set()
        self._problems: dict[FunctionKey, str] = {}

    @property
    def problems(self) -> Mapping[FunctionKey, str]:
        """Why Triggers match nothing."""
        return MappingProxyType(self._problems)

    @property
    def ordered(self) -> bool:
        """Whether a Trigger asks for order by key."""
        return any(each.ordered for each in self._entrances.values())

    @property
    def first_seq(self) -> int:
        """The last message of the bus that no Trigger is to get."""
        return min(self._since.values(), default=0)

    def put(self, key: FunctionKey, definition: Definition) -> None:
        """Add a Trigger, or replace it."""
        self.remove(key)
        try:
            made = entrance(definition.trigger)
        except (TorporError, ValueError) as error:
            self._problems[key] = str(error)
            return
        self._entrances[key] = made
        self._since[key] = definition.since_seq
        if made.filter.pattern is not None:
            self._patterns.add(key, made.filter.pattern)
        else:
            self._others.add(key)

    def remove(self, key: FunctionKey) -> None:
        """Remove a Trigger; nothing happens when it is not there."""
        self._problems.pop(key, None)
        self._entrances.pop(key, None)
        self._since.pop(key, None)
        self._patterns.remove(key)
        self._others.discard(key)

    def matching(self, event: Event, seq: int) -> list[Entrance]:
        """Return the entrances of the Triggers that the message of this number is for."""
        found = self._patterns.matching(seen(event)) if len(self._patterns) else set()
        found |= {key for key in self._others if self._entrances[key].filter.matches(event)}
        return [self._entrances[key] for key in sorted(found) if seq > self._since[key]]
