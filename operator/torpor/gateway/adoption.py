"""Whether this gateway serves a function itself although another is its home.

Gateways learn of each other at different moments, so two may each take the other for the home.
After `HOME_SECONDS` a request that neither forwarded nor served is served here.
"""

from __future__ import annotations

import math

HOME_SECONDS = 2.0
"""How long a request may wait for the gateways to agree where its function's home is."""


class Adoption:
    """True while it does."""

    __slots__ = ("_adopted",)

    def __init__(self) -> None:
        self._adopted = False

    def __bool__(self) -> bool:
        return self._adopted

    def begins_at(self, oldest: float | None, *, local: bool) -> float:
        """Return when it begins for requests of which the first waits since `oldest`."""
        if local or self._adopted or oldest is None:
            return math.inf
        return oldest + HOME_SECONDS

    def settle(self, oldest: float | None, now: float, *, local: bool, empty: bool) -> None:
        """Begin when it is time; end when the home is here, or nothing is left of it (`empty`)."""
        if now >= self.begins_at(oldest, local=local):
            self._adopted = True
        elif local or (oldest is None and empty):
            self._adopted = False
