"""How many connections a gateway has left, and how many of them one function may have. Pure.

HAProxy takes no connection beyond its most, for any function. So a function may have as many as are
still free, and no more: alone it gets half of all, two get a third each, and something is always
left for the next. What has reached a slot HAProxy counts itself (`doors.crowd_rules`), exactly;
what is held is counted here, since HAProxy's own count is read only now and then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torpor.resources.names import FunctionKey


class Crowd:
    """The connections of one HAProxy, which takes `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: Counter[FunctionKey] = Counter()
        self._all_held = 0
        self._others = 0

    @property
    def free(self) -> int:
        """How many more connections HAProxy takes, as far as is known."""
        return self._most - self._others - self._all_held

    def read(self, current: int) -> None:
        """Take in how many connections HAProxy has."""
        self._others = max(0, current - self._all_held)

    def has_room(self, key: FunctionKey) -> bool:
        """Return whether one more request of the function may be held."""
        return self._held[key] < self.free

    @contextmanager
    def held(self, key: FunctionKey) -> Iterator[None]:
        """Count a request of the function as held inside the block."""
        self._held[key] += 1
        self._all_held += 1
        try:
            yield
        finally:
            self._all_held -= 1
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
