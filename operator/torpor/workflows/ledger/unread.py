"""What this release cannot read stays as it is, for one that can; the log tells of it once."""

from __future__ import annotations

import logging
from collections.abc import Hashable

log = logging.getLogger(__name__)

_MOST = 10_000


class Unread:
    """What was left where it is. It is looked at again and again, and told the first time."""

    def __init__(self) -> None:
        self._told: set[Hashable] = set()

    def leave(self, what: Hashable, error: Exception) -> None:
        """Something, by a name of its own, cannot be read because of an error."""
        if what in self._told:
            return
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told.add(what)
        fields = {"left": str(what), "problem": f"{type(error).__name__}: {error}"}
        log.error("left where it is: it cannot be read", exc_info=error, extra={"fields": fields})
