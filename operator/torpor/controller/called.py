"""Has what the events role keeps of the asynchronous calls of deleted Functions removed.

The first call of a Function makes inboxes that no object in the cluster stands for. They go once
nothing is left in them: calls that still wait are given up by their age, which a destination is
told of, and dead letters are kept for as long as any.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from torpor.resources.names import FunctionKey
from torpor.triggers.standings import EventsAway, Standings

LOG = logging.getLogger(__name__)
LOOK_SECONDS = 60.0


class CalledFunctions:
    """Looks now and then for Functions that were called and are gone."""

    def __init__(
        self, standings: Standings, namespace: str, exists: Callable[[FunctionKey], bool]
    ) -> None:
        """`namespace` is the one that is served, empty for all; `exists` knows its Functions."""
        self._standings = standings
        self._namespace = namespace
        self._exists = exists
        self._gone: Collection[FunctionKey] = ()

    async def run(self) -> None:
        """Look until cancelled. The Functions must be known by then."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._look()
            except EventsAway as error:
                LOG.debug("the inboxes of deleted Functions stay for now: %s", error)

    async def _look(self) -> None:
        """Remove what was without its Function at the last look too: a watch may be late."""
        found = {
            inbox.key
            for inbox in await self._standings.idle_calls()
            if self._namespace in ("", inbox.function.namespace)
            and not self._exists(inbox.function)
        }
        for key in found.intersection(self._gone):
            await self._standings.delete(key)
            LOG.info("%s is removed: its Function is gone", key)
        self._gone = found
