"""Where instances said that they are, before the platform says so. Bounded in number and time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from torpor.resources.names import FunctionKey

Endpoint = tuple[str, int]
"""An address and a port."""

KEPT_SECONDS = 60.0
KEPT_PER_FUNCTION = 256
KEPT_FUNCTIONS = 4096


@dataclass(frozen=True, slots=True)
class Announcement:
    """One instance's word: where it is, when it said so, and its name if it told it."""

    endpoint: Endpoint
    at: float
    instance: str | None = None


class Announcements:
    """The latest announcement of each endpoint of each function."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: OrderedDict[FunctionKey, OrderedDict[Endpoint, Announcement]] = OrderedDict()

    def add(self, key: FunctionKey, endpoint: Endpoint, instance: str | None) -> None:
        """Remember that an instance of the function announced itself now."""
        told = self._told.setdefault(key, OrderedDict())
        told[endpoint] = Announcement(endpoint, self._clock(), instance)
        told.move_to_end(endpoint)
        self._told.move_to_end(key)
        while len(told) > KEPT_PER_FUNCTION:
            told.popitem(last=False)
        while len(self._told) > KEPT_FUNCTIONS:
            self._told.popitem(last=False)

    def of(self, key: FunctionKey) -> tuple[Announcement, ...]:
        """Return the function's announcements that are not too old, oldest first."""
        told = self._told.get(key)
        if told is None:
            return ()
        oldest = self._clock() - KEPT_SECONDS
        while told and next(iter(told.values())).at < oldest:
            told.popitem(last=False)
        if not told:
            del self._told[key]
        return tuple(told.values())

    def drop(self, key: FunctionKey, endpoint: Endpoint) -> None:
        """Forget an endpoint whose instance is going, because its address will be another's."""
        self._told.get(key, OrderedDict()).pop(endpoint, None)

    def forget(self, key: FunctionKey) -> None:
        """Forget all of a function's announcements."""
        self._told.pop(key, None)
