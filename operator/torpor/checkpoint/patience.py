"""How long a store that is away is waited for, and in which steps."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torpor.checkpoint.errors import StoreAway

log = logging.getLogger(__name__)
_T = TypeVar("_T")

PATIENCE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again after growing pauses until `seconds` have gone by since the first try.

    `pause` waits; it may raise (`Stop.pause` does when the grace is over). `chance` returns a
    number from 0 to 1, by which pauses are shortened to a half at most, so that workers that failed
    together do not come back together.
    """

    seconds: float = PATIENCE_SECONDS
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random

    def until_done(self, what: str, act: Callable[[], _T]) -> _T:
        """Return what `act` returns; raises StoreAway when it did so until the end."""
        deadline = self.clock() + self.seconds
        longest = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return act()
            except StoreAway as error:
                left = deadline - self.clock()
                if left <= 0:
                    raise StoreAway(f"{what}, for {self.seconds:.0f} s: {error}") from error
                pause = min(left, longest * (1 - self.chance() / 2))
                log.warning("%s: %s. Again in %.1f s", what, error, pause)
            self.pause(pause)
            longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
